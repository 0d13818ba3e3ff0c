"""What a robot feels of itself, as the policy sees it."""

from __future__ import annotations

import numpy as np

from dexloop.sim.control import ControlLimits
from dexloop.sim.hand import FINGER_NAMES
from dexloop.sim.rotations import Array
from dexloop.types import FloatArray

_POSE_NAMES = ("x", "y", "z", "rotation_x", "rotation_y", "rotation_z")
PROPRIO_NAMES = (
    *_POSE_NAMES,
    *FINGER_NAMES,
    *(f"target_{name}" for name in (*_POSE_NAMES, *FINGER_NAMES)),
    "remaining_time",
)
PROPRIO_SIZE = len(PROPRIO_NAMES)


class Proprioception:
    """Makes the vector (25,) float32 whose layout is PROPRIO_NAMES; ``low`` and ``high`` are its bounds.

    limits: of commanded motion.
    """

    def __init__(self, limits: ControlLimits) -> None:
        # Measured poses may overshoot their targets, and the corner of the rotation box is longer than its side.
        pose_bound = np.repeat([2.0 * limits.displacement, np.pi], 3)
        self.high = np.concatenate([pose_bound, np.ones(6), pose_bound, np.ones(6), [1.0]]).astype(np.float32)
        self.low = np.concatenate([-pose_bound, np.zeros(6), -pose_bound, np.zeros(6), [0.0]]).astype(np.float32)

    def vector(self, pose: Array, fingers: Array, target: Array, remaining: float) -> FloatArray:
        """From the measured pose (6,) relative to the start [m, rad], the measured closed fractions (6,), the target
        (12,) and the fraction of the deadline that is left."""
        vector = np.concatenate([pose, fingers, target, [remaining]], dtype=np.float32)
        return np.clip(vector, self.low, self.high)
