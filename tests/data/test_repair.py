from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dexloop.data.dataset import EpisodeDataset
from dexloop.errors import DexloopError
from dexloop.types import Episode
from tests.data.samples import SMALL_ROBOT, assert_same_numbers, make_episode

DATA = "data/chunk-000/file-{:03d}.parquet"
VIDEO = "videos/observation.images.top/chunk-000/file-{:03d}.mp4"
NEXT = "next/chunk-000/file-{:03d}.parquet"
INDEX = "meta/episodes/chunk-000/file-000.parquet"


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, list[Episode]]:
    episodes = [make_episode(SMALL_ROBOT, seed, steps=5 + seed) for seed in range(4)]
    with EpisodeDataset.create(tmp_path / "set", SMALL_ROBOT) as dataset:
        for episode in episodes:
            dataset.append(episode)
    return tmp_path / "set", episodes


@pytest.mark.parametrize("kind", [DATA, VIDEO, NEXT])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97, None])
def test_a_file_cut_short_costs_its_episode_only(
    stored: tuple[Path, list[Episode]], kind: str, keep: float | None
) -> None:
    root, episodes = stored
    path = root / kind.format(1)
    content = path.read_bytes()
    path.unlink() if keep is None else path.write_bytes(content[: int(len(content) * keep)])
    dataset = EpisodeDataset.open(root)
    assert dataset.episodes == [0, 2, 3]
    assert len(dataset.warnings) == 1 and str(path) in dataset.warnings[0]
    assert "episode 1 is left out" in dataset.warnings[0]
    assert_same_numbers(dataset.episode(2), episodes[2])
    assert dataset.append(episodes[0]) == 4, "numbers must not be given twice"
    again = EpisodeDataset.open(root)
    assert again.episodes == [0, 2, 3, 4] and len(again.warnings) == 1


def test_damage_inside_a_file_is_named_on_reading(stored: tuple[Path, list[Episode]]) -> None:
    root, _ = stored
    data, video = root / DATA.format(0), root / VIDEO.format(2)
    data.write_bytes(_flipped(data.read_bytes(), start=8, count=400))
    content = video.read_bytes()
    start = content.index(b"mdat") + 8
    video.write_bytes(_flipped(content, start, count=1))
    dataset = EpisodeDataset.open(root)
    with pytest.raises(DexloopError, match=r"file-000\.parquet: cannot be read, the file is damaged"):
        dataset.columns(0)
    with pytest.raises(DexloopError, match=r"file-002\.mp4: is damaged"):
        dataset.frames(2)
    assert len(dataset.episode(3)) == 8


def test_numbers_that_are_not_finite_are_named_on_reading(stored: tuple[Path, list[Episode]]) -> None:
    root, _ = stored
    path = root / DATA.format(2)
    table = pq.read_table(path)
    rewards = pa.array([0.0] * (table.num_rows - 1) + [float("nan")], pa.float32())
    column = table.schema.get_field_index("next.reward")
    pq.write_table(table.set_column(column, "next.reward", rewards), path)
    dataset = EpisodeDataset.open(root)
    with pytest.raises(DexloopError, match=r"file-002\.parquet: column next\.reward holds NaN"):
        dataset.episode(2)


@pytest.mark.parametrize("damage", ["missing", "cut", "older"])
def test_the_index_is_made_again_from_the_episodes(
    stored: tuple[Path, list[Episode]], tmp_path: Path, damage: str
) -> None:
    root, episodes = stored
    path = root / INDEX
    before = pq.read_table(path)
    if damage == "missing":
        shutil.rmtree(path.parent)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-300])
    else:
        pq.write_table(before.slice(0, 2), path)
    dataset = EpisodeDataset.open(root)
    assert dataset.episodes == [0, 1, 2, 3]
    assert any("file-003.parquet: episode 3 was stored but not listed" in text for text in dataset.warnings)
    assert_same_numbers(dataset.episode(3), episodes[3])
    after = pq.read_table(path)
    plain = [name for name in before.column_names if not name.startswith("stats/observation.images")]
    assert after.select(plain).equals(before.select(plain))
    assert EpisodeDataset.open(root).warnings == []


@pytest.mark.parametrize("name", ["info.json", "stats.json", "tasks.parquet"])
@pytest.mark.parametrize("cut", [True, False])
def test_other_meta_files_are_made_again(stored: tuple[Path, list[Episode]], name: str, cut: bool) -> None:
    root, episodes = stored
    path = root / "meta" / name
    content = path.read_bytes()
    path.write_bytes(content[:20]) if cut else path.unlink()
    dataset = EpisodeDataset.open(root)
    assert len(dataset.warnings) == 1 and name in dataset.warnings[0]
    assert path.read_bytes() == content
    assert_same_numbers(dataset.episode(1), episodes[1])
    assert EpisodeDataset.open(root).warnings == []


def test_wrong_totals_are_corrected_and_never_trusted(stored: tuple[Path, list[Episode]]) -> None:
    root, _ = stored
    path = root / "meta/info.json"
    right = json.loads(path.read_text())
    path.write_text(json.dumps(right | {"total_episodes": 10**15, "total_frames": 10**18}))
    dataset = EpisodeDataset.open(root)
    assert dataset.episodes == [0, 1, 2, 3]
    assert "corrected" in dataset.warnings[0]
    assert json.loads(path.read_text()) == right


def test_leftovers_of_an_interrupted_append_are_removed(stored: tuple[Path, list[Episode]]) -> None:
    root, _ = stored
    leftovers = [
        root / "data/chunk-000/.file-004.parquet.tmp",
        root / "meta/.info.json.tmp",
        root / VIDEO.format(4),
        root / NEXT.format(4),
    ]
    for path in leftovers:
        path.write_bytes(b"unfinished")
    dataset = EpisodeDataset.open(root)
    assert dataset.episodes == [0, 1, 2, 3]
    for path in leftovers:
        assert not path.exists()
        assert sum(str(path) in text for text in dataset.warnings) == 1
    assert EpisodeDataset.open(root).warnings == []


def test_unknown_versions_are_refused(stored: tuple[Path, list[Episode]]) -> None:
    root, _ = stored
    info, robot = root / "meta/info.json", root / "meta/dexloop.json"
    before = info.read_text()
    info.write_text(before.replace("v3.0", "v2.1"))
    with pytest.raises(DexloopError, match=r"info\.json: the dataset's version is 'v2\.1'"):
        EpisodeDataset.open(root)
    info.write_text(before)
    robot.write_text(robot.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(DexloopError, match=r"dexloop\.json: format 99 is unknown"):
        EpisodeDataset.open(root)


def _flipped(content: bytes, start: int, count: int) -> bytes:
    return content[:start] + bytes(b ^ 0x5A for b in content[start : start + count]) + content[start + count :]
