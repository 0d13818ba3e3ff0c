"""An operator that lets the policy try first, in an episode of its own."""

from __future__ import annotations

import numpy as np
from tests.lift import GRASPED, UP, Constant, lift

from dexloop.core import Operator
from dexloop.episode import run_episode
from dexloop.gates.human import HumanGate
from dexloop.operators.patient import PatientOperator
from dexloop.operators.policy import PolicyOperator
from dexloop.rewards.environment import EnvironmentReward
from dexloop.types import HANDS_OFF, Observation

SEEN = Observation(np.zeros(2, np.float32))


def test_the_policy_tries_first_in_every_episode() -> None:
    _, robot = lift()
    operator: Operator = PatientOperator(PolicyOperator(GRASPED), 5)
    for seed in (1, 2):
        episode = run_episode(robot, UP, EnvironmentReward(), HumanGate(), seed=seed, operator=operator)
        assert [bool(t.control.all()) for t in episode.transitions] == [False] * 5 + [True]
        assert [t.executed[1] for t in episode.transitions] == [0.0] * 5 + [0.75]
        assert episode.success and episode.operator_steps == 1


def test_one_that_is_in_time_is_left_alone() -> None:
    _, robot = lift()
    late = Constant(-1.0, 0.0)
    operator = PatientOperator(PolicyOperator(late), 5)
    episode = run_episode(robot, GRASPED, EnvironmentReward(), HumanGate(), seed=1, operator=operator)
    assert episode.success and episode.operator_steps == 0
    assert late.seeds == [1]


def test_a_policy_that_will_take_over_has_seen_the_whole_episode() -> None:
    """It may remember what it saw."""
    _, robot = lift()
    watching = Constant(1.0, 1.0)
    operator = PatientOperator(PolicyOperator(watching), 5)
    episode = run_episode(robot, UP, EnvironmentReward(), HumanGate(), seed=1, operator=operator)
    assert len(watching.explored) == len(episode) and episode.operator_steps == 1


def test_a_request_for_help_ends_the_patience() -> None:
    operator = PatientOperator(PolicyOperator(GRASPED), 100)
    operator.reset(0)
    assert operator.poll(SEEN, False) == HANDS_OFF
    assert operator.poll(SEEN, True).action is not None
    assert operator.poll(SEEN, False).action is not None
