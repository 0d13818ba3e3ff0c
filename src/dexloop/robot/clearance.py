"""How near arm and hand come to the table, to the robot's own body and to each other, by kinematics alone.

The arm's links are capsules as in the simulated scene (``dexloop.sim.scene``; the tests compare them).
"""

from __future__ import annotations

import numpy as np

from dexloop.robot.devices import Array
from dexloop.robot.hand_shape import HandShape

_UPPER_ARM, _ELBOW, _FOREARM, _WRIST, _HAND, _COLUMN, _BASE, _CHEST = range(8)
_ARM_RADII = (0.042, 0.038, 0.034, 0.033)
# The elbow's capsule reaches so far along the forearm [m].
_ELBOW_LENGTH = 0.08
# The first link, which turns in itself, from the arm's base to its shoulder; and the foot of the base: height of the
# capsule's upper end and radius [m].
_COLUMN_SIZE, _BASE_SIZE = (0.2405, 0.045), (0.05, 0.054)
_FLANGE = 5
# Of the spheres about elbow, wrist and flange: the larger one of the links that meet there [m].
_JOINT_RADII = (0.042, 0.034, 0.033)
ARM_POINTS = len(_JOINT_RADII)
"""How many of the points are the arm's; the hand's follow."""
PAIRS = (
    (_UPPER_ARM, _CHEST),
    (_ELBOW, _CHEST),
    (_FOREARM, _COLUMN),
    (_FOREARM, _BASE),
    (_FOREARM, _CHEST),
    (_WRIST, _COLUMN),
    (_WRIST, _BASE),
    (_WRIST, _CHEST),
    (_WRIST, _UPPER_ARM),
    (_HAND, _COLUMN),
    (_HAND, _BASE),
    (_HAND, _CHEST),
    (_HAND, _UPPER_ARM),
    (_HAND, _FOREARM),
)
"""Capsules that must not come near each other; neighbours on a joint cannot be kept apart."""
_FIRST, _SECOND = np.array(PAIRS).T


class Body:
    """The arm with its hand, and what stands in their way besides the table: the column they stand on, and the chest.

    base (4, 4): of the arm in the world. chest (7,): ends and radius of a capsule in the world [m].
    """

    def __init__(self, base: Array, chest: tuple[float, ...]) -> None:
        foot, up = base[:3, 3], base[:3, 2]
        column, pedestal = (np.stack([foot, foot + height * up]) for height, _ in (_COLUMN_SIZE, _BASE_SIZE))
        self._standing = np.stack([column, pedestal, np.reshape(chest[:6], (2, 3))])
        self._radii = (_COLUMN_SIZE[1], _BASE_SIZE[1], chest[6])

    def points(self, frames: Array, hand: HandShape) -> Array:
        """Elbow, wrist and flange, then the hand's points (N, 3 + P, 3) in the world [m]; frames: (N, 7, 4, 4)."""
        flange = frames[:, _FLANGE]
        out = np.empty((len(frames), 3 + len(hand.points), 3))
        out[:, 0], out[:, 1], out[:, 2] = frames[:, 2, :3, 3], frames[:, 3, :3, 3], flange[:, :3, 3]
        np.matmul(hand.points, flange[:, :3, :3].transpose(0, 2, 1), out=out[:, 3:])
        out[:, 3:] += flange[:, None, :3, 3]
        return out

    def heights(self, points: Array, hand: HandShape) -> Array:
        """How high (N, 3 + P) the spheres about ``points`` (N, 3 + P, 3) are above the table [m]."""
        return points[..., 2] - np.concatenate([_JOINT_RADII, hand.radii])

    def distances(self, frames: Array, hand: HandShape) -> Array:
        """Of every pair of PAIRS (N, len(PAIRS)) [m], negative where they overlap."""
        ends, radii = self.capsules(frames, hand)
        return segment_distance(ends[:, _FIRST], ends[:, _SECOND]) - (radii[_FIRST] + radii[_SECOND])

    def capsules(self, frames: Array, hand: HandShape) -> tuple[Array, Array]:
        """Ends (N, 8, 2, 3) in the world and radii (8,) [m] of what PAIRS numbers."""
        flange = frames[:, _FLANGE]
        ends = np.empty((len(frames), 8, 2, 3))
        shoulder, elbow, wrist = frames[:, 1, :3, 3], frames[:, 2, :3, 3], frames[:, 3, :3, 3]
        ends[:, _UPPER_ARM, 0], ends[:, _UPPER_ARM, 1] = shoulder, elbow
        along = _ELBOW_LENGTH / float(np.linalg.norm(wrist[0] - elbow[0]))
        ends[:, _ELBOW, 0], ends[:, _ELBOW, 1] = elbow, elbow + along * (wrist - elbow)
        ends[:, _FOREARM, 0], ends[:, _FOREARM, 1] = elbow, wrist
        ends[:, _WRIST, 0], ends[:, _WRIST, 1] = wrist, flange[:, :3, 3]
        ends[:, _HAND] = hand.ends @ flange[:, :3, :3].transpose(0, 2, 1) + flange[:, None, :3, 3]
        ends[:, _COLUMN:] = self._standing
        return ends, np.array([*_ARM_RADII, hand.radius, *self._radii])


def segment_distance(first: Array, second: Array) -> Array:
    """The distance (...) between segments of ends (..., 2, 3) [m]; closest points after Ericson (2005), 5.1.9."""
    p, q = first[..., 0, :], second[..., 0, :]
    d, e, r = first[..., 1, :] - p, second[..., 1, :] - q, p - q
    a, b, c = _dot(d, d), _dot(d, e), _dot(d, r)
    f, g = _dot(e, e), _dot(e, r)
    a, f = np.maximum(a, 1e-12), np.maximum(f, 1e-12)
    determinant = a * f - b * b
    parallel = determinant <= 1e-12 * a * f
    s = np.where(parallel, 0.0, np.clip((b * g - c * f) / np.where(parallel, 1.0, determinant), 0.0, 1.0))
    t = np.clip((b * s + g) / f, 0.0, 1.0)
    s = np.clip((b * t - c) / a, 0.0, 1.0)
    apart = r + s[..., None] * d - t[..., None] * e
    return np.sqrt(_dot(apart, apart))


def _dot(a: Array, b: Array) -> Array:
    return np.einsum("...i,...i->...", a, b)
