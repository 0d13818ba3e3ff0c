from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dexloop.core import Listener
from dexloop.data.dataset import EpisodeDataset
from dexloop.data.recorder import Recorder
from tests.data.samples import SMALL_ROBOT, assert_same_numbers, make_episode


def test_valid_episodes_are_kept_and_void_ones_are_not(tmp_path: Path) -> None:
    dataset = EpisodeDataset.create(tmp_path, SMALL_ROBOT)
    recorder = Recorder(dataset)
    listener: Listener = recorder
    good = make_episode(SMALL_ROBOT, seed=0)
    listener.on_step(good.transitions[0])
    listener.on_episode(replace(good, valid=False))
    listener.on_episode(replace(good, transitions=()))
    assert recorder.last_index is None and len(dataset) == 0
    listener.on_episode(good)
    listener.on_episode(make_episode(SMALL_ROBOT, seed=1))
    assert recorder.last_index == 1
    assert_same_numbers(dataset.episode(0), good)
