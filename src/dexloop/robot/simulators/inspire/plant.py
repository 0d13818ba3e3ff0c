"""A body that the simulated hand can move instead of its own imagined one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class HandPlant(Protocol):
    """Six actuators that follow position setpoints, such as the hand of a MuJoCo scene.

    Both are called from the thread that serves the hand, some hundred times a second.
    """

    def command(self, fingers: Array) -> None:
        """Follow these closed fractions (6,), which move at the hand's speed."""
        ...

    def fingers(self) -> Array:
        """The closed fractions (6,) that the fingers have in fact."""
        ...
