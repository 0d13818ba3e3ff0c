"""A policy in the operator's place."""

from __future__ import annotations

import numpy as np

from dexloop.core import Operator
from dexloop.operators.policy import PolicyOperator
from dexloop.types import Observation, Proposal


class Remembering:
    """Proposes the seed, and keeps whether it was told to explore."""

    explored = False

    def reset(self, seed: int) -> None:
        self.seed = seed

    def act(self, observation: Observation, explore: bool) -> Proposal:
        self.explored |= explore
        return Proposal(np.full(3, self.seed / 10, np.float32))


def test_a_policy_drives_everything_on_its_mean() -> None:
    policy = Remembering()
    operator: Operator = PolicyOperator(policy)
    operator.reset(7)
    said = operator.poll(Observation(np.zeros(2, np.float32)), False)
    assert said.action is not None and np.allclose(said.action, 0.7)
    assert said.control is not None and said.control.tolist() == [True] * 3
    assert (said.verdict, said.stop, said.pause) == (None, False, False) and not policy.explored
