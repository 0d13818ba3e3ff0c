from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dexloop.data import schema
from dexloop.data.dataset import EpisodeDataset
from dexloop.errors import DexloopError
from dexloop.types import ActionSpec, Episode, ObservationSpec, RobotSpec
from tests.data.samples import HAND_ROBOT, SMALL_ROBOT, assert_same_numbers, make_episode, mean_error


def test_episodes_come_back_as_they_were(tmp_path: Path) -> None:
    given = [make_episode(HAND_ROBOT, seed, steps=12 + seed, success=seed != 1) for seed in range(3)]
    with EpisodeDataset.create(tmp_path / "demos", HAND_ROBOT) as dataset:
        assert [dataset.append(episode) for episode in given] == [0, 1, 2]
        assert_same_numbers(dataset.episode(1), given[1])

    dataset = EpisodeDataset.open(tmp_path / "demos", HAND_ROBOT)
    assert dataset.warnings == []
    assert dataset.spec == HAND_ROBOT
    assert dataset.episodes == [0, 1, 2] and len(dataset) == 3
    for index, episode in enumerate(given):
        stored = dataset.episode(index)
        assert_same_numbers(stored, episode)
        for ours, theirs in zip(stored.transitions, episode.transitions, strict=True):
            for camera in ("chest", "head"):
                image = ours.observation.images[camera]
                assert mean_error(image, theirs.observation.images[camera]) < 2.0
        final, seen = stored.transitions[-1].next_observation, episode.transitions[-1].next_observation
        np.testing.assert_array_equal(final.images["head"], seen.images["head"])


def test_columns_frames_and_info_tell_the_same_as_the_episode(tmp_path: Path) -> None:
    dataset = EpisodeDataset.create(tmp_path, HAND_ROBOT)
    given = make_episode(HAND_ROBOT, seed=7, steps=9)
    dataset.append(make_episode(HAND_ROBOT, seed=6, steps=4))
    dataset.append(given)
    columns, frames, info = dataset.columns(1), dataset.frames(1), dataset.episode_info(1)
    assert set(columns) | {schema.IMAGES + c for c in frames} == set(schema.features(HAND_ROBOT, "yuv444p"))
    assert columns[schema.STATE].shape == (9, 25) and columns[schema.CONTROL].shape == (9, 12)
    np.testing.assert_array_equal(columns["index"], np.arange(4, 13))
    np.testing.assert_array_equal(columns["timestamp"], (np.arange(9) / 10).astype(np.float32))
    np.testing.assert_array_equal(columns[schema.TRUE_SUCCESS], [-1, *[0] * 7, 1])
    np.testing.assert_array_equal(columns[schema.DONE], [False] * 8 + [True])
    assert frames["chest"].shape == (10, 64, 64, 3)
    last = given.transitions[-1].next_observation.images["chest"]
    np.testing.assert_array_equal(frames["chest"][-1], last)
    np.testing.assert_array_equal(dataset.after(1).steps, [8])
    assert (info.seed, info.length, info.success, info.valid) == (7, 9, True, True)
    assert info.robot_seconds == given.robot_seconds and info.wall_seconds == given.wall_seconds


def test_what_was_seen_before_a_hold_is_kept(tmp_path: Path) -> None:
    """After a hold the next step starts from another observation than the last one ended with."""
    episode = make_episode(HAND_ROBOT, seed=1, steps=6)
    elsewhere = make_episode(HAND_ROBOT, seed=2, steps=1).transitions[0].observation
    steps = list(episode.transitions)
    steps[2] = replace(steps[2], next_observation=elsewhere)
    dataset = EpisodeDataset.create(tmp_path, HAND_ROBOT)
    dataset.append(replace(episode, transitions=tuple(steps)))
    stored = dataset.episode(0).transitions
    np.testing.assert_array_equal(stored[2].next_observation.proprio, elsewhere.proprio)
    np.testing.assert_array_equal(stored[2].next_observation.images["head"], elsewhere.images["head"])
    np.testing.assert_array_equal(stored[3].observation.proprio, steps[3].observation.proprio)
    np.testing.assert_array_equal(dataset.after(0).steps, [2, 5])


def test_robots_of_all_shapes_can_be_stored(tmp_path: Path) -> None:
    """One action dimension, odd image sizes, no camera at all, more than one task."""
    odd = RobotSpec("odd", "a", ActionSpec(1), ObservationSpec(1, {"eye": (15, 21)}), 30.0, 10)
    blind = RobotSpec("blind", "b", ActionSpec(3), ObservationSpec(2, privileged=1), 7.5, 10)
    for spec in (odd, blind):
        dataset = EpisodeDataset.create(tmp_path / spec.name, spec)
        given = [make_episode(spec, seed, steps=1 + seed) for seed in range(2)]
        given[1] = replace(given[1], task="another task", true_success=None, valid=False, stop=True)
        for index, episode in enumerate(given):
            dataset.append(episode)
            assert_same_numbers(dataset.episode(index), episode)
        again = EpisodeDataset.open(tmp_path / spec.name)
        assert [again.episode_info(i).task for i in again.episodes] == [spec.task, "another task"]


def test_a_later_verdict_changes_reward_success_and_end(tmp_path: Path) -> None:
    given = [make_episode(SMALL_ROBOT, seed, success=seed == 0) for seed in range(3)]
    with EpisodeDataset.create(tmp_path, SMALL_ROBOT) as dataset:
        for episode in given:
            dataset.append(episode)
        dataset.amend(0, success=False)
        dataset.amend(1, success=True)
    dataset = EpisodeDataset.open(tmp_path)
    assert dataset.warnings == []
    assert [dataset.episode_info(i).success for i in range(3)] == [False, True, False]
    for index, success in ((0, False), (1, True)):
        last = dataset.episode(index).transitions[-1]
        assert (last.reward, last.success, last.terminated, last.truncated) == (success, success, True, False)
        assert not any(t.success or t.reward for t in dataset.episode(index).transitions[:-1])
        assert dataset.episode_info(index).true_success == given[index].true_success
        np.testing.assert_array_equal(
            dataset.columns(index)[schema.STATE][2], given[index].transitions[2].observation.proprio
        )
    assert_same_numbers(dataset.episode(2), given[2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: replace(e, transitions=()), "without steps"),
        (lambda e: _first(e, executed=np.zeros(5, np.float32)), r"executed action of shape \(5,\)"),
        (lambda e: _first(e, proposed=np.array([0, np.nan], np.float32)), "NaN or infinity in proposed"),
        (lambda e: _first(e, reward=float("inf")), "NaN or infinity in reward"),
        (lambda e: _first(e, control=np.zeros(2, np.int8)), "control mask"),
        (lambda e: _seen(e, images={"top": np.zeros((8, 8, 3), np.uint8)}), r"camera top gives \(8, 8, 3\)"),
        (lambda e: _seen(e, images={}), r"cameras \[\], the dataset has \['top'\]"),
        (lambda e: _seen(e, proprio=np.full(3, np.inf, np.float32)), "NaN or infinity in proprioception"),
    ],
)
def test_an_episode_that_does_not_fit_is_refused(tmp_path: Path, change: object, message: str) -> None:
    dataset = EpisodeDataset.create(tmp_path, SMALL_ROBOT)
    dataset.append(make_episode(SMALL_ROBOT, seed=0))
    assert callable(change)
    with pytest.raises(DexloopError, match=message):
        dataset.append(change(make_episode(SMALL_ROBOT, seed=1)))
    assert dataset.episodes == [0]
    assert dataset.append(make_episode(SMALL_ROBOT, seed=2)) == 1


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(SMALL_ROBOT, name="large"), "robot is small, this robot's is large"),
        (replace(SMALL_ROBOT, action=ActionSpec(3)), "action size is 2, this robot's is 3"),
        (replace(SMALL_ROBOT, control_hz=20.0), "control rate"),
        (replace(SMALL_ROBOT, max_steps=200), "deadline"),
        (replace(SMALL_ROBOT, observation=ObservationSpec(3, {"top": (16, 16)})), "cameras"),
        (replace(SMALL_ROBOT, observation=ObservationSpec(3, {"top": (16, 24)}, 4)), "privileged"),
    ],
)
def test_another_robots_dataset_is_refused(tmp_path: Path, other: RobotSpec, message: str) -> None:
    EpisodeDataset.create(tmp_path, SMALL_ROBOT)
    with pytest.raises(DexloopError, match=message):
        EpisodeDataset.open_or_create(tmp_path, other)


def test_creating_and_opening_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(DexloopError, match="is not a dataset"):
        EpisodeDataset.open(tmp_path / "nothing")
    EpisodeDataset.create(tmp_path / "demos", SMALL_ROBOT)
    with pytest.raises(DexloopError, match="already holds a dataset"):
        EpisodeDataset.create(tmp_path / "demos", SMALL_ROBOT)
    with pytest.raises(DexloopError, match="has no usable episode 0; usable are none"):
        EpisodeDataset.open(tmp_path / "demos").episode(0)
    bad = replace(SMALL_ROBOT, observation=ObservationSpec(3, {"../up": (16, 24)}))
    with pytest.raises(DexloopError, match=r"camera '\.\./up'"):
        EpisodeDataset.create(tmp_path / "bad", bad)


def test_one_writer_and_many_readers(tmp_path: Path) -> None:
    writer = EpisodeDataset.create(tmp_path, SMALL_ROBOT)
    writer.append(make_episode(SMALL_ROBOT, seed=0))
    unfinished = tmp_path / "data/chunk-000/.file-001.parquet.tmp"
    unfinished.write_bytes(b"half")
    reader = EpisodeDataset.open(tmp_path)
    assert reader.episodes == [0] and unfinished.exists(), "a reader must not tidy behind a writer"
    index = tmp_path / "meta/episodes/chunk-000/file-000.parquet"
    listed = index.read_bytes()
    index.unlink()
    early = EpisodeDataset.open(tmp_path)
    assert early.episodes == [0] and not index.exists(), "an episode counts as soon as its data file is there"
    assert_same_numbers(early.episode(0), make_episode(SMALL_ROBOT, seed=0))
    index.write_bytes(listed)
    writer.close()
    reader.append(make_episode(SMALL_ROBOT, seed=1))
    assert not unfinished.exists()
    reader.close()
    assert writer.append(make_episode(SMALL_ROBOT, seed=2)) == 2, "it has to see what the other wrote"


def _first(episode: Episode, **changes: object) -> Episode:
    first, *rest = episode.transitions
    return replace(episode, transitions=(replace(first, **changes), *rest))  # pyright: ignore


def _seen(episode: Episode, **changes: object) -> Episode:
    return _first(episode, observation=replace(episode.transitions[0].observation, **changes))  # pyright: ignore
