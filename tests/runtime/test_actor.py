"""The actor: what it sends, what it counts, and what it does with episodes that are void."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dexloop.core import Policy
from dexloop.data.dataset import EpisodeDataset
from dexloop.errors import DexloopError
from dexloop.gates.human import HumanGate
from dexloop.rewards.environment import EnvironmentReward
from dexloop.runtime.actor import Actor, void_seconds
from dexloop.runtime.link import ActorSide
from dexloop.runtime.metrics import MetricsFile, read_metrics
from dexloop.types import HANDS_OFF, Episode, OperatorInput, Transition, Verdict
from tests.lift import GRASPED, UP, Script, lift

CLOSE = OperatorInput(np.array([0.5, 1.0], np.float32), np.array([False, True]))


class Heard:
    """A listener that counts."""

    def __init__(self) -> None:
        self.steps: list[Transition] = []
        self.episodes: list[Episode] = []

    def on_step(self, transition: Transition) -> None:
        self.steps.append(transition)

    def on_episode(self, episode: Episode) -> None:
        self.episodes.append(episode)


def actor(root: Path, policy: Policy = GRASPED, broken: dict[int, int] | None = None, **kwargs: Any) -> Actor:
    _, robot = lift(broken=broken or {})
    (root / "policy").write_bytes(b"any")
    return Actor(
        robot,
        lambda path: (policy, 7),
        EnvironmentReward(),
        HumanGate(),
        ActorSide(EpisodeDataset.open_or_create(root / "episodes", robot.spec), root / "policy"),
        MetricsFile(root / "metrics.jsonl"),
        lambda attempt: 100 + attempt,
        **kwargs,
    )


def test_what_the_operator_drove_is_stored_and_counted(tmp_path: Path) -> None:
    heard = Heard()
    driver = actor(tmp_path, UP, operator=Script(HANDS_OFF, *[CLOSE] * 5), listeners=[heard])
    episode = driver.run_episode()
    stored = EpisodeDataset.open(tmp_path / "episodes").episode(0)
    assert [t.control.tolist() for t in stored.transitions] == [[False, False]] + [[False, True]] * 3
    assert [t.proposed.tolist() for t in stored.transitions] == [[1.0, 0.0]] * 4
    assert [t.executed.tolist() for t in stored.transitions] == [[1.0, 0.0]] + [[1.0, 0.75]] * 3
    (line,) = read_metrics(tmp_path / "metrics.jsonl")
    assert (line["kind"], line["operator_steps"], line["success"]) == ("episode", 3, True)
    assert heard.episodes == [episode] and len(heard.steps) == 4


def test_a_void_episode_costs_robot_time_and_is_none_of_the_episodes(tmp_path: Path) -> None:
    driver = actor(tmp_path, broken={101: 4, 102: 1})
    episodes = [driver.run_episode() for _ in range(4)]
    assert [e.valid for e in episodes] == [True, False, False, True]
    assert [e.success for e in episodes] == [True, False, False, True], "also where the fault is in the last step"
    stored = EpisodeDataset.open(tmp_path / "episodes")
    assert [stored.episode_info(i).seed for i in stored.episodes] == [100, 103] and driver.steps == 8
    lines = list(read_metrics(tmp_path / "metrics.jsonl"))
    assert [(line["kind"], line.get("episode"), line.get("fault")) for line in lines] == [
        ("episode", 0, None),
        ("void", None, "watchdog"),
        ("void", None, "watchdog"),
        ("episode", 1, None),
    ]
    assert driver.robot_seconds == pytest.approx(4 * 2.0 + 13 / 10)
    assert void_seconds(tmp_path / "metrics.jsonl") == pytest.approx(2 * 2.0 + 5 / 10)
    assert void_seconds(tmp_path / "none.jsonl") == 0.0


def test_a_later_actor_goes_on_after_the_last_attempt(tmp_path: Path) -> None:
    actor(tmp_path, broken={100: 1}, attempt=3).run_episode()
    stored = EpisodeDataset.open(tmp_path / "episodes")
    assert [stored.episode_info(i).seed for i in stored.episodes] == [103]


def test_a_robot_that_stays_broken_ends_the_session(tmp_path: Path) -> None:
    driver = actor(tmp_path, broken=dict.fromkeys(range(100, 120), 1))
    with pytest.raises(DexloopError, match="10 episodes in a row were void, the last by a fault: watchdog"):
        for _ in range(20):
            driver.run_episode()
    assert len(EpisodeDataset.open(tmp_path / "episodes")) == 0


def test_faults_now_and_then_do_not(tmp_path: Path) -> None:
    driver = actor(tmp_path, broken={100 + i: 1 for i in range(22) if i % 2})
    for _ in range(22):
        driver.run_episode()
    assert driver.episodes == 11


def test_an_operator_who_stops_ends_the_session_and_keeps_what_there_is(tmp_path: Path) -> None:
    stop = Script(HANDS_OFF, OperatorInput(stop=True))
    actor(tmp_path).run_episode()
    with pytest.raises(DexloopError, match=r"the operator stopped after 1 online episodes.*--resume goes on"):
        actor(tmp_path, operator=stop).run_episode()
    assert len(EpisodeDataset.open(tmp_path / "episodes")) == 1


def test_what_the_operator_discards_is_not_sent(tmp_path: Path) -> None:
    discard = Script(HANDS_OFF, OperatorInput(verdict=Verdict.DISCARD))
    driver = actor(tmp_path, operator=discard)
    assert not driver.run_episode().valid and driver.episodes == driver.steps == 0
