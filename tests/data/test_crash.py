"""What is left when a process is killed, or the disk fills up, in the middle of an append."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dexloop.data.dataset import EpisodeDataset
from dexloop.errors import DexloopError
from tests.data.samples import SMALL_ROBOT, assert_same_numbers, make_episode

ROOT = Path(__file__).resolve().parents[2]

APPEND_FOR_EVER = """
import sys
from dexloop.data.dataset import EpisodeDataset
from tests.data.samples import SMALL_ROBOT, make_episode

dataset = EpisodeDataset.open_or_create(sys.argv[1], SMALL_ROBOT)
print("ready", flush=True)
while True:
    seed = 0 if not dataset.episodes else dataset.episodes[-1] + 1
    print(dataset.append(make_episode(SMALL_ROBOT, seed, steps=6 + seed % 5)), flush=True)
"""

APPEND_WITH_SMALL_FILES = """
import resource, sys
from dexloop.data.dataset import EpisodeDataset
from dexloop.errors import DexloopError
from tests.data.samples import SMALL_ROBOT, make_episode

dataset = EpisodeDataset.open(sys.argv[1])
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in (500, 2_000, 4_000, 8_000, 16_000, 24_000, 32_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        print("stored", dataset.append(make_episode(SMALL_ROBOT, dataset.episodes[-1] + 1)))
    except DexloopError as error:
        assert "the disk is full" in str(error), error
        print("refused")
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
print("stored", dataset.append(make_episode(SMALL_ROBOT, dataset.episodes[-1] + 1)))
"""


def test_every_reported_episode_survives_kill_9(tmp_path: Path) -> None:
    rng = random.Random(0)
    root = tmp_path / "set"
    reported = -1
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", APPEND_FOR_EVER, str(root)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.4))
        os.kill(child.pid, signal.SIGKILL)
        with child.stdout:
            lines = child.stdout.read().split("\n")[:-1]
        assert child.wait() == -signal.SIGKILL
        reported = int(lines[-1]) if lines else reported

        dataset = EpisodeDataset.open(root)
        assert len(dataset) >= reported + 1
        assert dataset.episodes == list(range(len(dataset)))
        for index in dataset.episodes[-3:]:
            assert_same_numbers(dataset.episode(index), make_episode(SMALL_ROBOT, index, steps=6 + index % 5))
        assert not list(root.rglob("*.tmp"))
        assert EpisodeDataset.open(root).warnings == []
    assert reported > 0, "nothing was stored: the test did not test anything"


def test_a_crash_between_any_two_files_leaves_all_or_nothing(tmp_path: Path) -> None:
    """Every state of the disk that an append goes through, in the order in which it writes."""
    before, after = tmp_path / "before", tmp_path / "after"
    given = [make_episode(SMALL_ROBOT, seed) for seed in range(3)]
    with EpisodeDataset.create(before, SMALL_ROBOT) as dataset:
        dataset.append(given[0])
        dataset.append(given[1])
    shutil.copytree(before, after)
    with EpisodeDataset.open(after) as dataset:
        dataset.append(given[2])
    order = [
        "videos/observation.images.top/chunk-000/file-002.mp4",
        "next/chunk-000/file-002.parquet",
        "data/chunk-000/file-002.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/stats.json",
        "meta/info.json",
    ]
    for done in range(len(order) + 1):
        state = tmp_path / f"state-{done}"
        shutil.copytree(before, state)
        for name in order[:done]:
            shutil.copy(after / name, state / name)
        dataset = EpisodeDataset.open(state)
        assert dataset.episodes == ([0, 1, 2] if done >= 3 else [0, 1]), done
        for index in dataset.episodes:
            assert_same_numbers(dataset.episode(index), given[index])
        assert bool(dataset.warnings) == (0 < done < len(order)), done
        if done >= 3:
            assert (state / "meta/info.json").read_bytes() == (after / "meta/info.json").read_bytes()
        else:
            assert dataset.append(given[2]) == 2


def test_files_that_may_not_grow_are_refused_cleanly(tmp_path: Path) -> None:
    """A file-size limit fails the write of video, next-observations, data or index, as it grows."""
    root = tmp_path / "set"
    with EpisodeDataset.create(root, SMALL_ROBOT) as dataset:
        dataset.append(make_episode(SMALL_ROBOT, seed=0))
    child = subprocess.run(
        [sys.executable, "-c", APPEND_WITH_SMALL_FILES, str(root)], capture_output=True, text=True, cwd=ROOT
    )
    assert child.returncode == 0, child.stderr
    answers = child.stdout.splitlines()
    assert answers.count("refused") >= 5 and answers[-1].startswith("stored")
    dataset = EpisodeDataset.open(root)
    assert dataset.warnings == []
    assert len(dataset) == 1 + sum(answer.startswith("stored") for answer in answers)
    for index in dataset.episodes:
        assert_same_numbers(dataset.episode(index), make_episode(SMALL_ROBOT, index))
    assert not list(root.rglob("*.tmp"))


def test_a_full_disk_keeps_what_was_stored(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk needs the right to mount one")
    try:
        dataset = EpisodeDataset.create(disk / "set", SMALL_ROBOT)
        with pytest.raises(DexloopError, match="the disk is full"):
            for seed in range(1000):
                dataset.append(make_episode(SMALL_ROBOT, seed))
        dataset.close()
        kept = EpisodeDataset.open(disk / "set")
        assert len(kept) == len(dataset) > 2
        for index in kept.episodes:
            assert_same_numbers(kept.episode(index), make_episode(SMALL_ROBOT, index))
        (disk / "filler").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
        (disk / "set/meta/stats.json").unlink()
        crowded = EpisodeDataset.open(disk / "set")
        assert crowded.episodes == kept.episodes, "a full disk must not keep anyone from reading"
        assert not list(disk.rglob("*.tmp"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
