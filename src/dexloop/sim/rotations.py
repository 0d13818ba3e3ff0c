"""Rotation vectors (axis times angle, rad) and matrices; plain numpy, no allocation worries at 10 Hz."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def rotation_matrix(vector: ArrayLike) -> Array:
    """The rotation matrix (3, 3) of a rotation vector (3,) [rad]; Rodrigues' formula."""
    x, y, z = (float(v) for v in np.asarray(vector, dtype=np.float64))
    angle = math.sqrt(x * x + y * y + z * z)
    if angle < 1e-12:
        return np.array([[1.0, -z, y], [z, 1.0, -x], [-y, x, 1.0]])
    s = math.sin(angle) / angle
    c = (1.0 - math.cos(angle)) / (angle * angle)
    return np.array(
        [
            [1.0 - c * (y * y + z * z), c * x * y - s * z, c * x * z + s * y],
            [c * x * y + s * z, 1.0 - c * (x * x + z * z), c * y * z - s * x],
            [c * x * z - s * y, c * y * z + s * x, 1.0 - c * (x * x + y * y)],
        ]
    )


def rotation_vector(matrix: Array) -> Array:
    """The rotation vector (3,) [rad] of a rotation matrix (3, 3), of length at most pi."""
    m = matrix.tolist()
    trace = m[0][0] + m[1][1] + m[2][2]
    x, y, z = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    sine = math.sqrt(x * x + y * y + z * z)
    angle = math.atan2(sine, trace - 1.0)
    if sine > 1e-6:
        return np.array([x, y, z]) * (angle / sine)
    if trace > 0.0:
        return np.array([x, y, z]) * 0.5
    # Near pi the antisymmetric part vanishes: the axis is the largest column of R + I.
    symmetric = matrix + np.eye(3)
    axis = symmetric[:, int(np.argmax(np.diag(symmetric)))]
    return axis * (angle / float(np.linalg.norm(axis)))


def frame(z: ArrayLike, x: ArrayLike) -> Array:
    """The rotation (3, 3) whose third column is along ``z`` and whose first is as near to ``x`` as that allows."""
    third = np.asarray(z, dtype=np.float64)
    third = third / np.linalg.norm(third)
    first = np.asarray(x, dtype=np.float64)
    first = first - third * float(third @ first)
    first = first / np.linalg.norm(first)
    return np.stack([first, np.cross(third, first), third], axis=1)


def yaw_matrix(angle: float) -> Array:
    """The rotation (3, 3) by ``angle`` [rad] about the vertical."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def quaternion(matrix: Array) -> Array:
    """The unit quaternion (w, x, y, z) of a rotation matrix (3, 3)."""
    vector = rotation_vector(matrix)
    angle = float(np.linalg.norm(vector))
    scale = 0.5 if angle < 1e-9 else math.sin(0.5 * angle) / angle
    return np.concatenate([[math.cos(0.5 * angle)], vector * scale])
