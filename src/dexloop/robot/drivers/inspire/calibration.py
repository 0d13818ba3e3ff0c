"""Which register values of a particular hand are open and closed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexloop.errors import DexloopError
from dexloop.robot.drivers.inspire import registers

Array = NDArray[np.float64]

HOLD = -1.0
"""The finger value that leaves a finger as it is; any other is a closed fraction."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """open, closed: each finger's value of ANGLE_SET and ANGLE_ACT at fraction 0 and at 1.

    The scale between is linear. Hands of the same model differ, so that a real hand is calibrated: drive it to the
    posture that is to be 0, and to that which is to be 1, and read ANGLE_ACT. Raises DexloopError for values that
    ANGLE_SET does not take, and for a finger whose two values are the same.
    """

    open: tuple[int, ...] = (registers.ANGLE_SET.high,) * registers.FINGERS
    closed: tuple[int, ...] = (registers.ANGLE_SET.low,) * registers.FINGERS

    def __post_init__(self) -> None:
        low, high = registers.ANGLE_SET.low, registers.ANGLE_SET.high
        for name, values in (("open", self.open), ("closed", self.closed)):
            if len(values) != registers.FINGERS or not all(low <= v <= high for v in values):
                raise DexloopError(f"the hand's calibration {name} must be {registers.FINGERS} values {low} to {high}")
        if any(a == b for a, b in zip(self.open, self.closed, strict=True)):
            raise DexloopError("the hand's calibration has a finger that is open where it is closed")

    def values(self, fingers: Array) -> list[int]:
        """The nearest ANGLE_SET values of closed fractions (6,), which are clipped to [0, 1]; HOLD is passed on."""
        open_, closed = np.array(self.open), np.array(self.closed)
        values = np.rint(open_ + np.clip(fingers, 0.0, 1.0) * (closed - open_))
        return [int(v) for v in np.where(fingers == HOLD, registers.UNCHANGED, values)]

    def fractions(self, values: tuple[int, ...]) -> Array:
        """Closed fractions (6,) of ANGLE_ACT values; below 0 or above 1 where a finger is beyond its two values."""
        open_, closed = np.array(self.open), np.array(self.closed)
        return (open_ - np.array(values)) / (open_ - closed)
