"""Which limits a path of setpoints keeps, by the shapes of the simulated robot and not by what is tested."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from benchmarks.shapes import ARM, HAND, Array, Placed, Shapes, segments_apart

from dexloop.robot.plant import Setpoint
from dexloop.robot.safety import SafetyLimits

TINY = 1e-6
"""Rounding."""
BOX = 0.0005 + TINY
"""The fraction of a millimetre that the workspace takes for the inverse kinematics [m]."""
# So far the foot of the base reaches out of the capsule that stands for it (docs/safety.md) [m].
_RIM = 0.02
# Of the spheres about elbow, wrist and flange; and of the capsules of the whole forearm and of the whole wrist [m].
_BALLS, _FOREARM, _WRIST = (0.042, 0.034, 0.033), 0.034, 0.033
# The controller's fingers are so much thicker than their thinnest links, and its hand than the shapes in it [m].
_THICKER, _WIDER = 0.004, 0.001
# How far braking may take one who was moved out of PLACES out of them again [m, rad, m^3].
_OUT_AGAIN = np.array([0.001, 0.001, 1e-5])

_JOINTED = {
    *(("upper arm", "column"), ("upper arm", "elbow"), ("upper arm", "forearm"), ("elbow", "forearm")),
    *(("elbow", "wrist"), ("forearm", "wrist"), ("wrist", "hand")),
}
_LIMBS = (*ARM, "hand")
PAIRS = tuple(
    (a, b)
    for i, a in enumerate(_LIMBS)
    for b in (*_LIMBS[i + 1 :], "column", "base", "rim", "chest")
    if (a, b) not in _JOINTED
)
"""Whatever of the robot can meet; what the elbow or the wrist joins cannot be kept apart."""
PLACES = ("workspace", "cone", "singularity")
LIMITS = (*PLACES, "arm and table", "palm and table", "fingers and table", *(f"{a} and {b}" for a, b in PAIRS))
"""What each column of ``Oracle.beyond`` is about."""
_AT = {name: column for column, name in enumerate(LIMITS)}


@functools.cache
def shapes_of(chest: tuple[float, ...]) -> Shapes:
    return Shapes(chest)


class Oracle:
    """The limits of ``safety`` for whoever began at ``start``."""

    def __init__(self, start: Setpoint, safety: SafetyLimits) -> None:
        self._safety, self.shapes = safety, shapes_of(safety.chest)
        placed = self.shapes.place([start])
        self._axis, self._sign = placed.ee[0, :3, 2], np.sign(_determinant(placed))[0]

    def beyond(self, placed: Placed) -> Array:
        """How far each setpoint is beyond each of LIMITS (N, len(LIMITS)) [m, rad, m^3]; negative within."""
        safety, shapes, at = self._safety, self.shapes, placed.ee[:, :3, 3]
        outside = np.maximum(np.array(safety.workspace_low) - at, at - np.array(safety.workspace_high))
        gaps = shapes.nearest(placed, PAIRS, safety.clearance)
        gaps[:, [other == "rim" for _, other in PAIRS]] += _RIM
        columns = [
            outside.max(axis=1) - BOX,
            self.angles(placed) - safety.cone,
            safety.singular - self.manipulability(placed),
            safety.clearance - shapes.lowest(placed, *ARM),
            safety.hand_clearance - shapes.lowest(placed, "palm"),
            safety.finger_clearance - shapes.lowest(placed, "digits"),
        ]
        return np.concatenate([np.stack(columns, axis=1), safety.clearance - gaps], axis=1)

    def excused(self, start: Setpoint) -> Array:
        """How far beyond each limit (len(LIMITS),) one who is put here may stay, who may only come back; 0 within.

        The controller knows arm and hand by capsules and spheres that are beyond a limit before a shape is, and holds
        them where they are.
        """
        shapes, safety, placed = self.shapes, self._safety, self.shapes.place([start])
        out = self.beyond(placed)[0]
        elbow, wrist, flange = placed.bodies[0, shapes.links, 2, 3][[2, 3, 5]]
        out[_AT["arm and table"]] = safety.clearance - (np.array([elbow, wrist, flange]) - _BALLS).min()
        out[_AT["fingers and table"]] += _THICKER
        ends, radii = shapes.capsules(placed)
        stub, palm = shapes.parts["palm"][0], _AT["palm and table"]
        out[palm] = max(out[palm], safety.hand_clearance - (ends[0, stub, :, 2].min() - radii[stub]))
        out[-len(PAIRS) :] = np.maximum(out[-len(PAIRS) :], safety.clearance - self._gaps(placed))
        return np.maximum(out, 0.0)

    def room(self, at: Setpoint) -> float:
        """How far from everything the fingers are [m], as the controller knows the hand."""
        placed = self.shapes.place([at])
        gaps = self._gaps(placed)[["hand" in pair for pair in PAIRS]]
        down = self.shapes.lowest(placed, "digits")[0] - _THICKER - self._safety.finger_clearance
        return min(float(gaps.min()), float(down))

    def angles(self, placed: Placed) -> Array:
        """Of the tool's axis (N,) to where it pointed at the start [rad]."""
        return np.arccos(np.clip(placed.ee[:, :3, 2] @ self._axis, -1.0, 1.0))

    def manipulability(self, placed: Placed) -> Array:
        """Signed (N,), positive in the posture of the start [m^3]."""
        return self._sign * _determinant(placed)

    def point_speeds(self, placed: Placed, touching: Array | bool) -> Array:
        """Highest speed (N - 1,) of any point on the way to each setpoint [m/s].

        touching (N - 1,): whether a finger feels contact then.
        """
        safety = self._safety
        share = np.clip(self.shapes.lowest(placed, *ARM, *HAND)[1:] / safety.contact_height - 1.0, 0.0, 1.0)
        return safety.contact_speed + np.where(touching, 0.0, share) * (safety.point_speed - safety.contact_speed)

    def joint_speeds(self, placed: Placed) -> Array:
        """Highest speed (N - 1,) of any joint on the way to each setpoint, less near a singularity [rad/s]."""
        safety = self._safety
        left = (self.manipulability(placed)[1:] - safety.singular) / (safety.near_singular - safety.singular)
        return safety.joint_speed * np.clip(left, 0.1, 1.0)

    def over(self, path: Sequence[Setpoint], *, homing: bool = False, moved: bool = False) -> tuple[Placed, Array]:
        """Where a path leads, and how far each setpoint is beyond what it may be of each limit of a place
        (N, len(LIMITS)) [m, rad, m^3]; positive is too far. On the way ``homing`` those of PLACES do not count.

        moved: who begins where somebody has put them may be beyond any limit, never goes farther out, and from PLACES
        that they have come back to no farther than braking takes them.
        """
        placed = self.shapes.place(path)
        beyond = self.beyond(placed)
        allowed = np.zeros_like(beyond)
        if moved:
            allowed[:] = self.excused(path[0])
            back = np.minimum.accumulate(np.maximum(beyond[:, : len(PLACES)], 0.0), axis=0)
            allowed[1:, : len(PLACES)] = back[:-1] + _OUT_AGAIN
        over = beyond - allowed - TINY
        if homing:
            over[:, : len(PLACES)] = -np.inf
        return placed, over

    def check(self, path: Sequence[Setpoint], *, homing: bool = False, moved: bool = False) -> Placed:
        """Nothing of ``over`` is positive."""
        placed, over = self.over(path, homing=homing, moved=moved)
        row, column = np.unravel_index(int(over.argmax()), over.shape)
        assert over[row, column] <= 0.0, (
            f"{LIMITS[column]}: setpoint {row} of {len(path)} is {over[row, column]:.6f} beyond"
        )
        return placed

    def _gaps(self, placed: Placed) -> Array:
        """Between the capsules (len(PAIRS),) by which the controller knows the first of these postures [m]."""
        shapes = self.shapes
        ends, radii = shapes.capsules(placed)
        joints = placed.bodies[0, shapes.links, :3, 3]
        known = {name: (ends[0, part[0]], float(radii[part[0]])) for name, part in shapes.parts.items()}
        known["forearm"] = joints[[2, 3]], _FOREARM
        known["wrist"] = joints[[4, 5]], _WRIST
        known["column"] = np.stack([known["base"][0][0], joints[0]]), known["column"][1]
        known["hand"] = self._around_hand(placed)
        return np.array([float(segments_apart(known[a][0], known[b][0])) - known[a][1] - known[b][1] for a, b in PAIRS])

    def _around_hand(self, placed: Placed) -> tuple[Array, float]:
        """The capsule along the hand that all of it is in: ends (2, 3) and radius [m]."""
        shapes = self.shapes
        hand = placed.bodies[0, shapes.model.body("hand").id]
        ends, radii = shapes.capsules(placed)
        stub, palm = shapes.parts["palm"]
        rounded = [stub, *shapes.parts["digits"]]
        points = np.concatenate([ends[0, rounded].reshape(-1, 3), shapes.extremes(placed, palm)[0]])
        points = (points - hand[:3, 3]) @ hand[:3, :3]
        thick = np.concatenate([np.repeat(radii[rounded], 2), np.zeros(8)])
        low, high = points.min(axis=0), points.max(axis=0)
        middle = 0.5 * (low + high)[:2]
        radius = float((np.linalg.norm(points[:, :2] - middle, axis=1) + thick).max())
        axis = np.array([[*middle, low[2]], [*middle, high[2]]])
        return axis @ hand[:3, :3].T + hand[:3, 3], radius + _WIDER


def check_motion(path: Sequence[Setpoint], safety: SafetyLimits, tick: float) -> None:
    """Position, speed and acceleration of every joint and finger, from rest."""
    for limits, way in (
        (safety.joints(), np.array([at.joints for at in path])),
        (safety.fingers(), np.array([at.fingers for at in path])),
    ):
        assert (way >= limits.low).all() and (way <= limits.high).all()
        speeds = np.diff(way, axis=0, prepend=way[:1]) / tick
        assert (np.abs(speeds) <= limits.speed + TINY).all(), "speed"
        changes = np.diff(speeds, axis=0, prepend=np.zeros((1, way.shape[1])))
        assert (np.abs(changes) <= limits.acceleration * tick + TINY).all(), "acceleration"


def _determinant(placed: Placed) -> Array:
    """Of the end effector's Jacobian (N,), from the axes of the engine's joints [m^3]."""
    arms = placed.ee[:, None, :3, 3] - placed.anchors
    return np.linalg.det(np.concatenate([np.cross(placed.axes, arms), placed.axes], axis=2))
