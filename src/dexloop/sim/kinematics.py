"""Kinematics of the Realman RM65-B arm, in numpy only, so that a robot's computer needs no simulator for it.

The modified Denavit-Hartenberg table below is the maker's (RM65-B data sheet; checked against the maker's
SDK in the tests). Frame i follows from frame i-1 by RotX(alpha) TransX(a) RotZ(q + offset) TransZ(d).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dexloop.sim.rotations import Array, rotation_vector


@dataclass(frozen=True, slots=True)
class DhRow:
    """One row of the modified Denavit-Hartenberg table: a, d [m]; alpha, offset [rad]."""

    a: float
    alpha: float
    d: float
    offset: float


_QUARTER = math.pi / 2
RM65_B = (
    DhRow(0.0, 0.0, 0.2405, 0.0),
    DhRow(0.0, _QUARTER, 0.0, _QUARTER),
    DhRow(0.256, 0.0, 0.0, _QUARTER),
    DhRow(0.0, _QUARTER, 0.210, 0.0),
    DhRow(0.0, -_QUARTER, 0.0, 0.0),
    DhRow(0.0, _QUARTER, 0.144, 0.0),
)
JOINT_LIMITS = np.radians([178.0, 130.0, 135.0, 178.0, 128.0, 360.0])
"""Joint limits [rad], symmetric about zero."""
POSTURE_LOW = np.array([*-JOINT_LIMITS[:4], 0.0, -JOINT_LIMITS[5]])
POSTURE_HIGH = np.array([*JOINT_LIMITS[:2], -0.25, *JOINT_LIMITS[3:]])
"""The joint limits less what would turn elbow or wrist inside out: a straight elbow (joint 3) and wrist (joint 5)
are singular, and beyond them waits another posture from which there is no smooth way back [rad]."""
JOINT_SPEEDS = np.radians([180.0, 180.0, 225.0, 225.0, 225.0, 225.0])
"""Highest joint speeds [rad/s]."""


def link_transform(row: DhRow) -> Array:
    """The pose (4, 4) of a link's frame in the one before it, its joint at zero."""
    c, s = math.cos(row.offset), math.sin(row.offset)
    ca, sa = math.cos(row.alpha), math.sin(row.alpha)
    return np.array(
        [
            [c, -s, 0.0, row.a],
            [s * ca, c * ca, -sa, -sa * row.d],
            [s * sa, c * sa, ca, ca * row.d],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def pose(position: ArrayLike, rotation: Array) -> Array:
    """The homogeneous transform (4, 4) of a position (3,) [m] and a rotation (3, 3)."""
    out = np.eye(4)
    out[:3, :3] = rotation
    out[:3, 3] = position
    return out


@dataclass(frozen=True, slots=True)
class Solution:
    """Joint angles q (6,) [rad] and the largest component of the remaining error [m or rad]."""

    q: Array
    residual: float


class ArmKinematics:
    """Forward and inverse kinematics of the arm with a tool.

    base: pose (4, 4) of the arm's base in the world. tool: pose (4, 4) of the end effector in the flange.
    """

    def __init__(self, base: Array, tool: Array) -> None:
        self._base = base
        self._tool = tool
        self._links = np.stack([link_transform(row) for row in RM65_B])

    @property
    def tool_rotation(self) -> Array:
        """Rotation (3, 3) of the end effector, and of the hand that it belongs to, in the flange."""
        return self._tool[:3, :3]

    def _chain(self, q: Array) -> list[Array]:
        """Poses of the six links and of the end effector; joint i turns link i about its own z axis."""
        cosine, sine = np.cos(q), np.sin(q)
        turns = np.zeros((6, 4, 4))
        turns[:, 0, 0] = turns[:, 1, 1] = cosine
        turns[:, 1, 0] = sine
        turns[:, 0, 1] = -sine
        turns[:, 2, 2] = turns[:, 3, 3] = 1.0
        frame, frames = self._base, list[Array]()
        for link in self._links @ turns:
            frame = frame @ link
            frames.append(frame)
        frames.append(frame @ self._tool)
        return frames

    def forward(self, q: ArrayLike) -> Array:
        """The pose (4, 4) of the end effector in the world, at joint angles ``q`` (6,) [rad]."""
        return self._chain(np.asarray(q, dtype=np.float64))[-1]

    def jacobian(self, q: ArrayLike) -> Array:
        """The geometric Jacobian (6, 6) in world axes: rows are linear [m/rad], then angular [rad/rad]."""
        return _jacobian(self._chain(np.asarray(q, dtype=np.float64)))

    def solve(
        self,
        q: Array,
        target: Array,
        *,
        iterations: int = 20,
        damping: float = 1e-4,
        tolerance: float = 1e-5,
    ) -> Solution:
        """Joint angles that bring the end effector to ``target`` (4, 4), searched from ``q`` (6,).

        Damped least squares, dq = J^T (J J^T + damping I)^-1 e (Wampler 1986; Nakamura & Hanafusa 1986), at most
        0.3 rad an iteration and within the posture's limits: a joint that would leave them rests, and the others
        do what they can. Never fails: read ``residual``.
        """
        best = Solution(q, math.inf)
        for _ in range(iterations):
            chain = self._chain(q)
            error = np.empty(6)
            error[:3] = target[:3, 3] - chain[-1][:3, 3]
            error[3:] = rotation_vector(target[:3, :3] @ chain[-1][:3, :3].T)
            residual = float(np.abs(error).max())
            if residual < best.residual:
                best = Solution(q, residual)
            if residual < tolerance:
                break
            jacobian = _jacobian(chain)
            step = _least_squares(jacobian, error, damping)
            blocked = ((q <= POSTURE_LOW) & (step < 0.0)) | ((q >= POSTURE_HIGH) & (step > 0.0))
            if blocked.any():
                step = _least_squares(np.where(blocked, 0.0, jacobian), error, damping)
            largest = float(np.abs(step).max())
            q = np.clip(q + step * min(1.0, 0.3 / max(largest, 1e-12)), POSTURE_LOW, POSTURE_HIGH)
        return best


def _least_squares(jacobian: Array, error: Array, damping: float) -> Array:
    return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping * np.eye(6), error)


def _jacobian(chain: list[Array]) -> Array:
    frames = np.stack(chain[:6])
    axes, arms = frames[:, :3, 2], chain[-1][:3, 3] - frames[:, :3, 3]
    out = np.empty((6, 6))
    out[0] = axes[:, 1] * arms[:, 2] - axes[:, 2] * arms[:, 1]
    out[1] = axes[:, 2] * arms[:, 0] - axes[:, 0] * arms[:, 2]
    out[2] = axes[:, 0] * arms[:, 1] - axes[:, 1] * arms[:, 0]
    out[3:] = axes.T
    return out
