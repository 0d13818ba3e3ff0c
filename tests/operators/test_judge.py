"""An operator whose word counts, but not their hands."""

from __future__ import annotations

import numpy as np
from tests.lift import GRASPED, UP, Script, lift

from dexloop.core import Operator
from dexloop.episode import run_episode
from dexloop.gates.human import HumanGate
from dexloop.operators.judge import JudgingOperator
from dexloop.rewards.person import PersonReward
from dexloop.types import OperatorInput, Verdict

DRIVING = OperatorInput(np.array([-1.0, -1.0], np.float32))


def test_hands_are_off_and_the_verdict_counts() -> None:
    env, robot = lift(silent=True)
    judge: Operator = JudgingOperator(
        Script(DRIVING, OperatorInput(pause=True), DRIVING, OperatorInput(DRIVING.action, verdict=Verdict.SUCCESS))
    )
    episode = run_episode(robot, UP, PersonReward(), HumanGate(), seed=1, operator=judge)
    assert [t.executed.tolist() for t in episode.transitions] == [[1.0, 0.0]] * 2 and env.held == 1
    assert episode.success and episode.operator_steps == 0 and episode.info == {"verdict": "success"}


def test_it_may_stop() -> None:
    _, robot = lift()
    judge = JudgingOperator(Script(OperatorInput(stop=True)))
    assert run_episode(robot, GRASPED, PersonReward(), HumanGate(), seed=1, operator=judge).stop
