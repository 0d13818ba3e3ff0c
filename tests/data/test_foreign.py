"""Datasets that LeRobot recorded: many episodes in one file, and none of dexloop's own columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from dexloop.data import schema
from dexloop.data.dataset import EpisodeDataset
from dexloop.data.video import encode_video
from dexloop.errors import DexloopError
from dexloop.types import ImageArray
from tests.data.samples import SMALL_ROBOT, make_episode, mean_error, scene

LENGTHS = (7, 9, 5)
FPS = 10
KEY = "observation.images.front"


def write_lerobot_dataset(root: Path, extra: dict[str, NDArray[Any]]) -> tuple[dict[str, Any], ImageArray]:
    """A dataset as LeRobot 0.4 lays it out; returns its columns and all frames."""
    count = sum(LENGTHS)
    ends = np.cumsum(LENGTHS)
    starts = ends - LENGTHS
    rng = np.random.default_rng(3)
    frame = np.concatenate([np.arange(length) for length in LENGTHS])
    columns: dict[str, NDArray[Any]] = {
        "observation.state": rng.normal(size=(count, 4)).astype(np.float32),
        "action": rng.normal(size=(count, 2)).astype(np.float32),
        "timestamp": (frame / FPS).astype(np.float32),
        "frame_index": frame,
        "episode_index": np.repeat(np.arange(len(LENGTHS)), LENGTHS),
        "index": np.arange(count),
        "task_index": np.repeat([0, 0, 1], LENGTHS),
    } | extra
    frames = np.stack([scene((48, 64), step, shade=2.0 * step) for step in range(count)])
    for name in ("meta/episodes/chunk-000", "data/chunk-000", f"videos/{KEY}/chunk-000"):
        (root / name).mkdir(parents=True)
    table = {name: pa.array(list(values)) for name, values in columns.items()}
    pq.write_table(pa.table(table), root / "data/chunk-000/file-000.parquet")
    (root / f"videos/{KEY}/chunk-000/file-000.mp4").write_bytes(encode_video(frames, FPS))
    zeros = [0] * len(LENGTHS)
    episodes = {
        "episode_index": [0, 1, 2],
        "tasks": [["pick"], ["pick"], ["place"]],
        "length": LENGTHS,
        "data/chunk_index": zeros,
        "data/file_index": zeros,
        "dataset_from_index": starts,
        "dataset_to_index": ends,
        f"videos/{KEY}/chunk_index": zeros,
        f"videos/{KEY}/file_index": zeros,
        f"videos/{KEY}/from_timestamp": starts / FPS,
        f"videos/{KEY}/to_timestamp": ends / FPS,
    }
    pq.write_table(pa.table(episodes), root / "meta/episodes/chunk-000/file-000.parquet")
    tasks = pa.table({"task_index": [0, 1], "__index_level_0__": ["pick", "place"]})
    pq.write_table(tasks, root / "meta/tasks.parquet")
    names = {"motors": ["a", "b", "c", "d"]}
    info = {
        "codebase_version": "v3.0",
        "robot_type": "so100",
        "fps": FPS,
        "features": {
            "observation.state": {"dtype": "float32", "shape": [4], "names": names},
            "action": {"dtype": "float32", "shape": [2], "names": ["a", "b"]},
            KEY: {"dtype": "video", "shape": [3, 48, 64], "names": ["channels", "height", "width"]},
        },
        "data_path": schema.DATA_PATH,
        "video_path": schema.VIDEO_PATH,
    }
    (root / "meta/info.json").write_text(json.dumps(info))
    return columns, frames


def test_episodes_of_lerobot_are_read(tmp_path: Path) -> None:
    root = tmp_path / "lr=3e-4"
    columns, frames = write_lerobot_dataset(root, {})
    dataset = EpisodeDataset.open(root)
    assert dataset.warnings == [] and dataset.episodes == [0, 1, 2]
    spec = dataset.spec
    assert (spec.name, spec.task, spec.control_hz, spec.max_steps) == ("so100", "pick", 10.0, 9)
    assert spec.action.names == ("a", "b") and spec.observation.proprio_names == ("a", "b", "c", "d")
    assert spec.observation.cameras == {"front": (48, 64)}
    first = 0
    for index, length in enumerate(LENGTHS):
        episode, rows = dataset.episode(index), slice(first, first + length)
        assert len(episode) == length
        steps = episode.transitions
        np.testing.assert_array_equal([t.observation.proprio for t in steps], columns["observation.state"][rows])
        np.testing.assert_array_equal([t.executed for t in steps], columns["action"][rows])
        np.testing.assert_array_equal([t.proposed for t in steps], columns["action"][rows])
        assert not any(t.reward or t.success or t.terminated or t.control.any() for t in steps)
        assert [t.truncated for t in steps] == [False] * (length - 1) + [True]
        for step, transition in enumerate(steps):
            error = mean_error(transition.observation.images["front"], frames[first + step])
            assert error < 2.0, "the frames of another episode"
        last = steps[-1]
        np.testing.assert_array_equal(last.next_observation.proprio, last.observation.proprio)
        first += length
    assert dataset.episode(2).task == "place"
    assert dataset.frames(1)["front"].shape == (10, 48, 64, 3)


@pytest.mark.parametrize("name", ["intervention", "complementary_info.is_intervention"])
def test_take_overs_rewards_and_ends_are_read_where_they_are(tmp_path: Path, name: str) -> None:
    count = sum(LENGTHS)
    driven, done, reward = np.zeros(count, np.bool_), np.zeros(count, np.bool_), np.zeros(count, np.float32)
    driven[[1, 2, 8]] = True
    done[[6, 15, 20]] = True
    reward[15] = 1.0
    extra = {name: driven, "next.done": done, "next.reward": reward, "next.success": reward > 0}
    write_lerobot_dataset(tmp_path, extra)
    dataset = EpisodeDataset.open(tmp_path)
    control = dataset.columns(0)[schema.CONTROL]
    np.testing.assert_array_equal(control, np.repeat(driven[:7, None], 2, axis=1))
    assert dataset.episode(1).operator_steps == 1
    assert [dataset.episode_info(i).success for i in range(3)] == [False, True, False]
    last = dataset.episode(1).transitions[-1]
    assert (last.reward, last.terminated, last.truncated) == (1.0, True, False)


def test_datasets_of_others_are_not_written(tmp_path: Path) -> None:
    write_lerobot_dataset(tmp_path, {})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    dataset = EpisodeDataset.open(tmp_path)
    with pytest.raises(DexloopError, match="was not written by dexloop"):
        dataset.append(make_episode(dataset.spec, seed=0))
    with pytest.raises(DexloopError, match="was not written by dexloop"):
        dataset.amend(0, success=True)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    write_lerobot_dataset(tmp_path, {})
    with pytest.raises(DexloopError, match="robot is so100, this robot's is small"):
        EpisodeDataset.open(tmp_path, SMALL_ROBOT)
    video = tmp_path / f"videos/{KEY}/chunk-000/file-000.mp4"
    video.write_bytes(video.read_bytes()[:-50])
    dataset = EpisodeDataset.open(tmp_path)
    assert len(dataset) == 0 and all("file-000.mp4" in text for text in dataset.warnings)
    info = tmp_path / "meta/info.json"
    before = info.read_text()
    info.write_text(before.replace('"video"', '"image"'))
    with pytest.raises(DexloopError, match="images lie inside the tables"):
        EpisodeDataset.open(tmp_path)
    info.write_text(before.replace('"observation.state"', '"state"'))
    with pytest.raises(DexloopError, match=r"info\.json: lacks what a robot's dataset needs"):
        EpisodeDataset.open(tmp_path)
