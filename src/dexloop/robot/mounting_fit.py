"""Where the arm's base stands, from a fingertip that touches the table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dexloop.robot.devices import Array
from dexloop.sim.rotations import rotation_matrix, rotation_vector, yaw_matrix
from dexloop.sim.scene import Mounting


@dataclass(frozen=True, slots=True)
class Touch:
    """tip (3,) [m]: where the old mounting has the fingertip that touches the table, in the world. mark (2,) [m]: x and
    y of the mark under it, None where only the table is touched."""

    tip: Array
    mark: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Fit:
    """The new mounting, and the largest distance of a touch from where it should be [m]."""

    mounting: Mounting
    worst: float


def fit_mounting(old: Mounting, touches: Sequence[Touch]) -> Fit:
    """The mounting with which every touch is on the table, and on its mark.

    Height by the mean of all touches; x and y need a mark; the turn about the world's z needs two (Umeyama 1991, in the
    plane). How the base leans is kept, since marks on one table hardly show it.
    """
    marked = [(touch.tip[:2], np.array(touch.mark)) for touch in touches if touch.mark is not None]
    yaw, shift = 0.0, np.zeros(2)
    if marked:
        tips, marks = (np.array(points) for points in zip(*marked, strict=True))
        a, b = tips - tips.mean(axis=0), marks - marks.mean(axis=0)
        cross = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum())
        yaw = math.atan2(cross, float((a * b).sum())) if len(marked) > 1 else 0.0
        shift = marks.mean(axis=0) - yaw_matrix(yaw)[:2, :2] @ tips.mean(axis=0)
    turn = yaw_matrix(yaw)
    move = np.array([*shift, -float(np.mean([touch.tip[2] for touch in touches]))])
    x, y, z = (turn @ np.array(old.position) + move).tolist()
    a, b, c = rotation_vector(turn @ rotation_matrix(old.rotation)).tolist()
    worst = 0.0
    for touch in touches:
        at = turn @ touch.tip + move
        wanted = np.array([*(at[:2] if touch.mark is None else touch.mark), 0.0])
        worst = max(worst, float(np.linalg.norm(at - wanted)))
    return Fit(Mounting((x, y, z), (a, b, c)), worst)
