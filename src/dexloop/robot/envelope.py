"""Where arm and hand may be, and how fast: every limit that is of the whole arm and not of one joint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dexloop.robot.chain import ArmChain, manipulability
from dexloop.robot.clearance import ARM_POINTS, PAIRS, Body
from dexloop.robot.devices import Array
from dexloop.robot.hand_shape import RIGID, HandShape
from dexloop.robot.safety import SafetyLimits
from dexloop.sim.kinematics import ArmKinematics

BOX_TOLERANCE = 0.0005
"""The inverse kinematics reaches a goal at the workspace's border to within this [m]."""
_SLOWEST = 0.1
_PAIR_NAMES = ("upper arm", "elbow", "forearm", "wrist", "hand", "column", "base", "chest")
CONSTRAINTS = (
    "workspace",
    "cone",
    "singularity",
    "floor",
    "arm and table",
    "hand and table",
    "fingers and table",
    *(f"{_PAIR_NAMES[a]} and {_PAIR_NAMES[b]}" for a, b in PAIRS),
)
"""What each column of ``Outlook.beyond`` is about."""
_COLLISIONS = np.array([name not in ("workspace", "cone", "singularity", "floor") for name in CONSTRAINTS])


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a path of N setpoints leads to.

    beyond (N, K): how far each is beyond each of CONSTRAINTS [m, rad, m^3], negative within. haste (N - 1,): speed
    from each setpoint to the next as a share of the one allowed there.
    """

    beyond: Array
    haste: Array

    @property
    def hastiest(self) -> float:
        """The largest share; 0 for a path of one setpoint."""
        return float(self.haste.max(initial=0.0))


class Envelope:
    """The limits of ``safety`` for the arm of ``kinematics``; ``tick``: between two setpoints [s]."""

    def __init__(self, kinematics: ArmKinematics, safety: SafetyLimits, tick: float) -> None:
        self._safety, self._tick = safety, tick
        self._chain = ArmChain(kinematics)
        self._body = Body(self._chain.base, safety.chest)
        self._low, self._high = np.array(safety.workspace_low), np.array(safety.workspace_high)
        self.axis = np.array([0.0, 0.0, 1.0])
        self._posture = 1.0

    def start(self, joints: Array) -> None:
        """The tool's axis at these joints (6,) is the middle of the cone, and their posture the one to stay in."""
        frames = self._chain.frames(joints[None])
        self.axis = frames[0, 6, :3, 2].copy()
        # A singularity divides two postures, in which the determinant has different signs.
        self._posture = 1.0 if float(manipulability(frames)[0]) >= 0.0 else -1.0

    def heights(self, path: Array) -> Array:
        """How high (N,) the end effector is at joints (N, 6) [m]."""
        return self._chain.frames(path)[:, 6, 2, 3]

    def look(
        self,
        path: Array,
        hand: HandShape,
        *,
        touching: bool = False,
        homing: bool = False,
        floor: float = -np.inf,
    ) -> Outlook:
        """What a path of joints (N, 6) [rad] leads to, one setpoint a tick.

        touching: whether a finger feels contact. homing: the way home may lead outside workspace and cone and through
        singularities, and only collisions and speed count. floor: least height of the end effector at present [m].
        """
        safety = self._safety
        frames = self._chain.frames(path)
        points = self._body.points(frames, hand)
        heights = self._body.heights(points, hand)
        volume = self._posture * manipulability(frames)
        position, axis = frames[:, 6, :3, 3], frames[:, 6, :3, 2]

        beyond = np.empty((len(path), len(CONSTRAINTS)))
        beyond[:, 0] = np.maximum(self._low - position, position - self._high).max(axis=1) - BOX_TOLERANCE
        beyond[:, 1] = np.arccos(np.clip(axis @ self.axis, -1.0, 1.0)) - safety.cone
        beyond[:, 2] = safety.singular - volume
        beyond[:, 3] = floor - position[:, 2]
        rigid = ARM_POINTS + len(RIGID)
        beyond[:, 4] = safety.clearance - heights[:, :ARM_POINTS].min(axis=1)
        beyond[:, 5] = safety.hand_clearance - heights[:, ARM_POINTS:rigid].min(axis=1)
        beyond[:, 6] = safety.finger_clearance - heights[:, rigid:].min(axis=1)
        beyond[:, 7:] = safety.clearance - self._body.distances(frames, hand)
        if homing:
            beyond = np.where(_COLLISIONS, beyond, -np.inf)
        if len(path) == 1:
            return Outlook(beyond, np.empty(0))

        moved = np.diff(points, axis=0)
        speeds = np.sqrt(np.einsum("nkd,nkd->nk", moved, moved).max(axis=1)) / self._tick
        haste = speeds / self._point_speeds(heights[1:].min(axis=1), touching)
        if not homing:
            turning = np.abs(np.diff(path, axis=0)).max(axis=1) / self._tick
            haste = np.maximum(haste, turning / (safety.joint_speed * self._joint_share(volume[1:])))
        return Outlook(beyond, haste)

    def _point_speeds(self, heights: Array, touching: bool) -> Array:
        """Highest speeds (N,) [m/s] of any point where the lowest is at these heights (N,) above the table [m]."""
        safety = self._safety
        if touching:
            return np.full(len(heights), safety.contact_speed)
        share = np.clip(heights / safety.contact_height - 1.0, 0.0, 1.0)
        return safety.contact_speed + share * (safety.point_speed - safety.contact_speed)

    def _joint_share(self, volume: Array) -> Array:
        """The share (N,) of the joints' speed that is left at these manipulabilities (N,)."""
        low, high = self._safety.singular, self._safety.near_singular
        return np.clip((volume - low) / max(high - low, 1e-12), _SLOWEST, 1.0)
