"""The policy of a robot that waits for its operator."""

from __future__ import annotations

import numpy as np

from dexloop.types import Observation, Proposal, RobotSpec


class StillPolicy:
    """Proposes zeros (A,): no motion where actions are relative. For recording demonstrations."""

    def __init__(self, spec: RobotSpec) -> None:
        self._size = spec.action.size

    def reset(self, seed: int) -> None:
        """Nothing to draw: stillness has no randomness."""

    def act(self, observation: Observation, explore: bool) -> Proposal:
        """The same zeros whatever is seen, in an array of their own."""
        return Proposal(np.zeros(self._size, np.float32))
