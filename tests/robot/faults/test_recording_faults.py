"""The disk of whoever records fills up in mid-session, while the robot works."""

from __future__ import annotations

import resource

import pytest
from benchmarks.chaos_rig import Rig
from tests.robot.faults.outcome import goes_on, outcome

from dexloop.data.dataset import EpisodeDataset


@pytest.mark.slow
def test_a_full_disk_ends_collection_in_a_line_and_keeps_what_was_stored(idle: Rig) -> None:
    """A limit on the size of files stands for the full disk; tests/data/test_crash.py fills a real one."""
    rig = idle
    rig.start_worker(seed=2000)
    rig.wait(lambda: rig.notes("finished") and rig.notes()[-1]["kind"] == "start", 90.0, "an episode is stored already")
    child = rig.worker
    assert child is not None
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    assert child.wait(90.0) == 1
    why = rig.notes("ended")[-1]
    assert "the disk is full" in why["why"]
    outcome(rig, why["t"])
    stored = EpisodeDataset.open(rig.episodes)
    assert {note["index"] for note in rig.notes("finished")} == set(stored.episodes)
    for index in stored.episodes:
        assert len(stored.episode(index)) > 0
    rig.end("worker")
    rig.start_worker(seed=3000)
    goes_on(rig, why["t"], 60.0)
