"""An operator who judges and does not drive."""

from __future__ import annotations

from dexloop.core import Operator
from dexloop.types import Observation, OperatorInput


class JudgingOperator:
    """Passes on the verdict, the pause and the stop of ``operator``, and never an action: for trials of a policy."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def reset(self, seed: int) -> None:
        """As the operator's."""
        self._operator.reset(seed)

    def poll(self, observation: Observation, asked: bool = False) -> OperatorInput:
        """What the operator says, with hands off."""
        said = self._operator.poll(observation, asked)
        return OperatorInput(verdict=said.verdict, stop=said.stop, pause=said.pause)
