"""Orientations whose tool axis stays within a cone about where it pointed at the start."""

from __future__ import annotations

import math

import numpy as np

from dexloop.robot.devices import Array
from dexloop.sim.rotations import rotation_matrix, rotation_vector

# A goal lies a little inside, so that the way to it does not graze the border [rad].
_INSIDE = 0.002


def into_cone(turn: Array, start: Array, cone: float) -> Array:
    """The rotation vector (3,) nearest to ``turn`` (3,) whose tool axis is within ``cone`` of the start's [rad].

    start (3, 3): orientation at the start in the world, whose third column is the tool's axis; ``turn`` is relative to
    it, in world axes. The excess is turned back in the plane of both axes, so that the hand slides along the border.
    """
    middle, axis = start[:, 2], rotation_matrix(turn) @ start[:, 2]
    across = np.cross(axis, middle)
    sine = float(np.linalg.norm(across))
    excess = math.atan2(sine, float(axis @ middle)) - (cone - _INSIDE)
    if excess <= 0.0 or sine < 1e-9:
        return turn
    return rotation_vector(rotation_matrix(across / sine * excess) @ rotation_matrix(turn))
