"""The link between actor and learner: everything once, nothing lost, whoever starts again."""

from __future__ import annotations

import os
from pathlib import Path

from dexloop.data.dataset import EpisodeDataset
from dexloop.runtime.link import ActorSide, LearnerSide
from tests.data.samples import SMALL_ROBOT, assert_same_numbers, make_episode


def actor(root: Path) -> ActorSide:
    return ActorSide(EpisodeDataset.open_or_create(root / "episodes", SMALL_ROBOT), root / "policy" / "policy")


def learner(root: Path) -> LearnerSide:
    return LearnerSide(root / "episodes", root / "policy" / "policy")


def test_each_episode_is_received_once_and_in_order(tmp_path: Path) -> None:
    sender, receiver = actor(tmp_path), learner(tmp_path)
    assert list(receiver.receive()) == []
    got: list[int] = []
    for index in range(4):
        sender.send(make_episode(SMALL_ROBOT, index))
        if index % 2:
            for number, episode in receiver.receive():
                assert_same_numbers(episode, make_episode(SMALL_ROBOT, number))
                got.append(number)
    assert got == [0, 1, 2, 3] and list(receiver.receive()) == []
    assert sender.sent == 4


def test_a_learner_that_comes_before_the_actor_waits(tmp_path: Path) -> None:
    receiver = learner(tmp_path)
    assert list(receiver.receive()) == []
    actor(tmp_path).send(make_episode(SMALL_ROBOT, 0))
    assert [number for number, _ in receiver.receive()] == [0]


def test_whoever_starts_again_has_everything(tmp_path: Path) -> None:
    first = actor(tmp_path)
    for index in range(3):
        first.send(make_episode(SMALL_ROBOT, index))
    assert [number for number, _ in learner(tmp_path).receive()] == [0, 1, 2]
    assert [number for number, _ in learner(tmp_path).receive()] == [0, 1, 2], "a new learner gets them all"
    first.episodes.close()
    second = actor(tmp_path)
    assert second.sent == 3
    second.send(make_episode(SMALL_ROBOT, 3))
    assert [number for number, _ in learner(tmp_path).receive()] == [0, 1, 2, 3]


def test_an_interrupted_receiver_gets_the_same_episode_again(tmp_path: Path) -> None:
    sender, receiver = actor(tmp_path), learner(tmp_path)
    for index in range(3):
        sender.send(make_episode(SMALL_ROBOT, index))
    for number, _ in receiver.receive():
        if number == 1:
            break
    assert [number for number, _ in receiver.receive()] == [1, 2]


def test_an_amended_episode_is_received_again_with_its_new_verdict(tmp_path: Path) -> None:
    sender, receiver = actor(tmp_path), learner(tmp_path)
    for index in range(3):
        sender.send(make_episode(SMALL_ROBOT, index, success=False))
    assert len(list(receiver.receive())) == 3
    sender.episodes.amend(1, success=True)
    ((number, episode),) = receiver.receive()
    assert number == 1 and episode.success and episode.transitions[-1].reward == 1.0
    sender.episodes.amend(1, success=True)
    assert list(receiver.receive()) == [], "the same verdict is nothing new"
    sender.episodes.amend(1, success=False)
    sender.send(make_episode(SMALL_ROBOT, 3))
    assert [(number, e.success) for number, e in receiver.receive()] == [(1, False), (3, True)]


def test_a_policy_is_taken_once_until_there_is_a_newer_one(tmp_path: Path) -> None:
    sender, receiver = actor(tmp_path), learner(tmp_path)
    assert sender.latest_policy() is None
    receiver.publish(b"first")
    path = sender.latest_policy()
    assert path is not None and path.read_bytes() == b"first"
    assert sender.latest_policy() is None
    stamp = path.stat().st_mtime_ns
    receiver.publish(b"second")
    os.utime(path, ns=(stamp, stamp))
    again = sender.latest_policy()
    assert again is not None and again.read_bytes() == b"second", "the clock's resolution must not hide it"
    assert actor(tmp_path).latest_policy() is not None


def test_a_policy_is_replaced_whole(tmp_path: Path) -> None:
    receiver = learner(tmp_path)
    receiver.publish(b"first" * 1000)
    with (tmp_path / "policy" / "policy").open("rb") as reader:
        receiver.publish(b"second" * 1000)
        assert reader.read() == b"first" * 1000
    assert [p.name for p in (tmp_path / "policy").iterdir()] == ["policy"]
