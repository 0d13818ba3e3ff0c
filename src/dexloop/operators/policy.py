"""A policy in the operator's place."""

from __future__ import annotations

import numpy as np

from dexloop.core import Policy
from dexloop.types import Observation, OperatorInput


class PolicyOperator:
    """Drives every action dimension as ``policy`` would, without exploring; never pauses, stops or judges."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def reset(self, seed: int) -> None:
        """As the policy's."""
        self._policy.reset(seed)

    def poll(self, observation: Observation, asked: bool = False) -> OperatorInput:
        """The policy's action (A,), all of it the operator's."""
        action = self._policy.act(observation, explore=False).action
        return OperatorInput(action=action, control=np.ones(action.shape, np.bool_))
