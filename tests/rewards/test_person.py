"""The reward that is a person's word and nothing else."""

from __future__ import annotations

import pytest
from tests.lift import GRASPED, Script, lift

from dexloop.core import RewardModel
from dexloop.episode import run_episode
from dexloop.gates.human import HumanGate
from dexloop.rewards.person import PersonReward
from dexloop.types import HANDS_OFF, OperatorInput, Verdict


def test_without_a_word_nothing_is_a_success() -> None:
    reward: RewardModel = PersonReward()
    _, robot = lift()
    episode = run_episode(robot, GRASPED, reward, HumanGate(), seed=1)
    assert len(episode) == 8 and episode.transitions[-1].truncated and episode.true_success
    assert not episode.success and {t.reward for t in episode.transitions} == {0.0}


def test_an_environment_may_end_the_episode_all_the_same() -> None:
    _, robot = lift(ends=True)
    episode = run_episode(robot, GRASPED, PersonReward(), HumanGate(), seed=1)
    assert len(episode) == 4 and episode.transitions[-1].terminated and not episode.success


@pytest.mark.parametrize("verdict", [Verdict.SUCCESS, Verdict.FAILURE])
def test_a_verdict_is_the_reward(verdict: Verdict) -> None:
    _, robot = lift()
    person = Script(HANDS_OFF, HANDS_OFF, OperatorInput(verdict=verdict))
    episode = run_episode(robot, GRASPED, PersonReward(), HumanGate(), seed=1, operator=person)
    success = verdict is Verdict.SUCCESS
    assert [t.reward for t in episode.transitions] == [0.0, float(success)] and episode.success is success
