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
    *(f"ee_{axis}" for axis in "xyz"),
    *(f"ee_axis_{axis}_{of}" for of in "xz" for axis in "xyz"),
    "remaining_time",
)
PROPRIO_SIZE = len(PROPRIO_NAMES)
# The arm reaches nowhere near so far from the world's origin [m].
_REACH = 2.0


class Proprioception:
    """Makes the vector (34,) float32 whose layout is PROPRIO_NAMES; ``low`` and ``high`` are its bounds.

    limits: of commanded motion.
    """

    def __init__(self, limits: ControlLimits) -> None:
        # Measured poses may overshoot their targets, and the corner of the rotation box is longer than its side.
        pose_bound = np.repeat([2.0 * limits.displacement, np.pi], 3)
        place_bound = np.repeat([_REACH, 1.0, 1.0], 3)
        self.high = np.concatenate(
            [pose_bound, np.ones(6), pose_bound, np.ones(6), place_bound, [1.0]], dtype=np.float32
        )
        self.low = np.concatenate(
            [-pose_bound, np.zeros(6), -pose_bound, np.zeros(6), -place_bound, [0.0]], dtype=np.float32
        )

    def vector(
        self, pose: Array, fingers: Array, target: Array, position: Array, rotation: Array, remaining: float
    ) -> FloatArray:
        """Everything as measured, but the target.

        pose (6,): relative to the start [m, rad]. fingers (6,): closed fractions. target (12,): of pose and fingers.
        position (3,) [m], rotation (3, 3): of the end effector in the world, which has the table top at z = 0.
        remaining: fraction of the deadline that is left.
        """
        place = [position, rotation[:, 0], rotation[:, 2]]
        vector = np.concatenate([pose, fingers, target, *place, [remaining]], dtype=np.float32)
        return np.clip(vector, self.low, self.high)
