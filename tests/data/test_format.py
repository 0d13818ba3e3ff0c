"""The format on disk: readable by LeRobot, and unchanged since the golden dataset was written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dexloop.data import schema
from dexloop.data.catalog import Catalog
from dexloop.data.dataset import EpisodeDataset
from dexloop.data.index import ROWS_PER_FILE, read_rows
from dexloop.data.info import info_of
from dexloop.data.layout import Layout
from dexloop.data.stats import column_stats
from dexloop.data.tasks import encode_tasks, read_tasks
from tests.data import golden
from tests.data.samples import assert_same_numbers, mean_error

TABLES = [
    "data/chunk-000/file-000.parquet",
    "data/chunk-000/file-001.parquet",
    "meta/episodes/chunk-000/file-000.parquet",
    "meta/tasks.parquet",
    "next/chunk-000/file-001.parquet",
]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Opening a dataset may mend it; the committed one must stay as it is."""
    return Path(shutil.copytree(golden.PATH, tmp_path / "golden"))


def test_the_golden_dataset_is_read_exactly(copied: Path) -> None:
    dataset = EpisodeDataset.open(copied, golden.ROBOT)
    assert dataset.warnings == [] and dataset.spec == golden.ROBOT
    assert dataset.episodes == [0, 1]
    for index, given in enumerate(golden.episodes()):
        stored = dataset.episode(index)
        assert_same_numbers(stored, given)
        for ours, theirs in zip(stored.transitions, given.transitions, strict=True):
            assert mean_error(ours.observation.images["top"], theirs.observation.images["top"]) < 3.0
        last = given.transitions[-1].next_observation.images["top"]
        np.testing.assert_array_equal(dataset.frames(index)["top"][-1], last)
    assert dataset.columns(1)["index"].tolist() == [3, 4]
    for path in golden.PATH.rglob("*"):
        assert path.is_dir() or path.read_bytes() == (copied / path.relative_to(golden.PATH)).read_bytes()


def test_a_dataset_of_before_actions_were_said_to_be_velocities_is_read(copied: Path) -> None:
    path = copied / "meta/dexloop.json"
    content = json.loads(path.read_text())
    for group in content["robot"]["action"]["groups"]:
        del group["velocity"]
    path.write_text(json.dumps(content))
    stored = EpisodeDataset.open(copied, golden.ROBOT)
    assert stored.warnings == [] and [group.velocity for group in stored.spec.action.groups] == [False, False]


def test_writing_the_golden_episodes_again_gives_the_same_files(tmp_path: Path) -> None:
    golden.write(tmp_path / "again")
    names = {path.relative_to(golden.PATH) for path in golden.PATH.rglob("*") if path.is_file()}
    again = {path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file()}
    assert again - {Path("meta/.lock")} == names
    for name in ("meta/info.json", "meta/dexloop.json"):
        assert json.loads((tmp_path / "again" / name).read_text()) == json.loads((golden.PATH / name).read_text())
    for name in TABLES:
        ours, theirs = pq.read_table(tmp_path / "again" / name), pq.read_table(golden.PATH / name)
        assert ours.schema.equals(theirs.schema), name
        images = [column for column in ours.column_names if "images" in column and column.startswith("stats/")]
        assert ours.drop_columns(images).equals(theirs.drop_columns(images)), name


def test_the_golden_dataset_is_small() -> None:
    assert sum(path.stat().st_size for path in golden.PATH.rglob("*") if path.is_file()) < 60_000


def test_info_and_tables_are_lerobots(copied: Path) -> None:
    info = json.loads((copied / "meta/info.json").read_text())
    expected = {
        "codebase_version": "v3.0",
        "robot_type": "golden",
        "total_episodes": 2,
        "total_frames": 5,
        "total_tasks": 1,
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": 10,
        "splits": {"train": "0:2"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }
    assert {name: info[name] for name in expected} == expected
    assert info["features"]["observation.images.top"]["shape"] == [16, 16, 3]
    table = pq.read_schema(copied / TABLES[0])
    numeric = {name: f for name, f in info["features"].items() if f["dtype"] != "video"}
    assert table.names == list(numeric), "LeRobot casts the file to exactly these columns"
    for name, feature in numeric.items():
        item = {"float32": pa.float32(), "bool": pa.bool_(), "int8": pa.int8(), "int64": pa.int64()}[feature["dtype"]]
        size = feature["shape"][0]
        wanted = item if size == 1 else pa.list_(item, size)
        assert table.field(name).type.equals(wanted), name
    rows = pq.read_table(copied / TABLES[2]).to_pylist()
    assert [(r["episode_index"], r["length"], r["tasks"]) for r in rows] == [(0, 3, ["push"]), (1, 2, ["push"])]
    assert [(r["dataset_from_index"], r["dataset_to_index"]) for r in rows] == [(0, 3), (3, 5)]
    assert [(r["data/chunk_index"], r["data/file_index"]) for r in rows] == [(0, 0), (0, 1)]
    key = f"videos/{schema.IMAGES}top"
    assert [(r[f"{key}/file_index"], r[f"{key}/to_timestamp"]) for r in rows] == [(0, 0.3), (1, 0.2)]
    stats = json.loads((copied / "meta/stats.json").read_text())
    assert stats["action"]["max"] == [pytest.approx(0.2), pytest.approx(0.7)]
    assert stats["action"]["count"] == [5]
    assert np.shape(stats["observation.images.top"]["mean"]) == (3, 1, 1)


def test_tasks_are_a_pandas_frame_with_the_task_as_index(tmp_path: Path) -> None:
    path = tmp_path / "tasks.parquet"
    path.write_bytes(encode_tasks(["push", "put the cup on the coaster"]))
    assert read_tasks(path) == ["push", "put the cup on the coaster"]
    table = pq.read_table(path)
    described = json.loads(table.schema.metadata[b"pandas"])
    assert described["index_columns"] == ["task"]
    assert table.column("task").to_pylist()[1] == "put the cup on the coaster"
    assert table.column("task_index").to_pylist() == [0, 1]


def test_many_episodes_spread_over_index_files(tmp_path: Path) -> None:
    layout = Layout(tmp_path, golden.ROBOT, native=True)
    info = info_of(golden.episodes()[0])
    catalog = Catalog(layout)
    stats = {"action": column_stats(np.zeros((2, 2)))}
    for number in range(ROWS_PER_FILE + 2):
        catalog.put(replace(layout.row(number, "push", 2, 2 * number), stats=stats), info)
    for number in (0, ROWS_PER_FILE):
        catalog.save(number)
    files = sorted((tmp_path / "meta/episodes/chunk-000").glob("*.parquet"))
    rows = [read_rows(path, layout.cameras) for path in files]
    assert [len(listed) for listed in rows] == [ROWS_PER_FILE, 2]
    assert [row.episode for listed in rows for row in listed] == list(range(ROWS_PER_FILE + 2))
    last = pq.read_table(files[1]).to_pylist()[-1]
    assert (last["meta/episodes/chunk_index"], last["meta/episodes/file_index"]) == (0, 1)
    assert catalog.stats["action"].count == 2 * (ROWS_PER_FILE + 2)


def test_the_thousandth_episode_opens_a_new_chunk(tmp_path: Path) -> None:
    layout = Layout(tmp_path, golden.ROBOT, native=True)
    row = layout.row(1001, "push", 2, 2002)
    assert layout.data_file(row) == tmp_path / "data/chunk-001/file-001.parquet"
    assert layout.video_file(row, "observation.images.top").parent.name == "chunk-001"
