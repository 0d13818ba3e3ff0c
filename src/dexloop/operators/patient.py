"""An operator that lets the policy try first."""

from __future__ import annotations

from dexloop.core import Operator
from dexloop.operators.policy import PolicyOperator
from dexloop.types import HANDS_OFF, Observation, OperatorInput


class PatientOperator:
    """Hands off for the first ``steps`` control steps of an episode, then ``operator`` to its end.

    So a program that always has an answer, such as a scripted operator or a stored policy, takes over where the
    policy takes too long, as a person who watches would.
    """

    def __init__(self, operator: Operator, steps: int) -> None:
        self._operator = operator
        self._steps = steps
        self._waited = 0

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self._waited = 0
        self._operator.reset(seed)

    def poll(self, observation: Observation, asked: bool = False) -> OperatorInput:
        """Nothing at first, unless the robot asks for help; then what the operator does."""
        if asked:
            self._waited = self._steps
        if self._waited < self._steps:
            self._waited += 1
            if isinstance(self._operator, PolicyOperator):
                # It remembers what it saw, and is to have seen the whole episode when it takes over.
                self._operator.poll(observation)
            return HANDS_OFF
        return self._operator.poll(observation, asked)
