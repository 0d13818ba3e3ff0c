"""From a wanted target to joint angles: workspace, table clearance, reach and joint speeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dexloop.sim.control import ARM, ActionCodec
from dexloop.sim.kinematics import JOINT_SPEEDS, ArmKinematics, Solution, pose
from dexloop.sim.rotations import Array, rotation_matrix, rotation_vector

# The end effector's workspace in the world [m].
_LOW = np.array([0.18, -0.38, 0.015])
_HIGH = np.array([0.56, 0.25, 0.42])
# Corners of palm and knuckles in the end effector's frame [m], and how high above the table they stay.
_CORNERS = np.array([(-0.043, y, z) for y in (-0.04, 0.04) for z in (-0.07, 0.05)])
_CLEARANCE = 0.001
# A larger remaining error of the inverse kinematics means that the pose is out of reach [m or rad].
_REACHED = 1e-4
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Motion:
    """One step of the arm: joint angles (6,) [rad], and the pose (6,) relative to the start that they reach."""

    joints: Array
    pose: Array


class ArmServo:
    """Follows targets that are relative to a start pose.

    kinematics: of the arm. codec: of the actions, for its largest steps. period: of control [s]. start: pose
    (4, 4) of the end effector in the world that displacements and rotations are relative to.
    """

    def __init__(self, kinematics: ArmKinematics, codec: ActionCodec, period: float, start: Array) -> None:
        self._kinematics = kinematics
        self._codec = codec
        self._joint_step = JOINT_SPEEDS * period
        self.position = start[:3, 3]
        self.rotation = start[:3, :3]

    def relative(self, position: Array, rotation: Array) -> Array:
        """A pose in the world as displacement and rotation vector (6,) from the start pose [m, rad]."""
        return np.concatenate([position - self.position, rotation_vector(rotation @ self.rotation.T)])

    def move(self, joints: Array, before: Array, wanted: Array) -> Motion:
        """From ``joints`` (6,), whose target is ``before`` (6,), towards the target ``wanted`` (6,).

        A step too fast for a joint or out of reach is shortened along its way; if that does not help, the arm
        goes as near to the wanted pose as it can get, so that it slides along the border of its reach.
        """
        wanted = self._inside(wanted)
        step = self._codec.difference(wanted, before)
        tried, share = wanted, 1.0
        solution = Solution(joints, np.inf)
        for _ in range(_ATTEMPTS):
            solution = self._solve(joints, tried)
            excess = self._excess(solution.q - joints)
            if solution.residual < _REACHED and excess <= 1.0:
                return Motion(solution.q, tried)
            share *= 0.5 if solution.residual >= _REACHED else 0.9 / excess
            tried = self._after(before, share * step)
        return self._slide(joints, before, solution)

    def outside(self, reached: Array) -> float:
        """How far the end effector's pose (4, 4) in the world is outside what ``move`` aims at [m], 0 inside it."""
        position, rotation = reached[:3, 3], reached[:3, :3]
        lowest = float((_CORNERS @ rotation.T)[:, 2].min()) + float(position[2])
        beyond = np.concatenate([_LOW - position, position - _HIGH])
        return max(0.0, float(beyond.max()), _CLEARANCE - lowest)

    def _slide(self, joints: Array, before: Array, solution: Solution) -> Motion:
        """Some way towards joint angles whose pose is not the wanted one, within every limit, or not at all."""
        step = solution.q - joints
        share = 1.0 / max(1.0, self._excess(step))
        for _ in range(_ATTEMPTS):
            angles = joints + share * step
            reached = self._kinematics.forward(angles)
            relative = self.relative(reached[:3, 3], reached[:3, :3])
            ratio = float((np.abs(self._codec.difference(relative, before)) / self._codec.step).max())
            if ratio <= 1.0 and self._codec.in_box(relative):
                return Motion(angles, relative)
            share *= 0.5
        return Motion(joints, before[ARM].copy())

    def _inside(self, wanted: Array) -> Array:
        """The target (6,) brought into the workspace, with palm and knuckles above the table."""
        wanted = wanted[ARM].copy()
        wanted[0:3] = np.clip(wanted[0:3], _LOW - self.position, _HIGH - self.position)
        corners = (_CORNERS @ (rotation_matrix(wanted[3:6]) @ self.rotation).T)[:, 2]
        lowest = float(corners.min()) + self.position[2] + wanted[2]
        wanted[2] += max(0.0, _CLEARANCE - lowest)
        return wanted

    def _after(self, before: Array, step: Array) -> Array:
        rotation = rotation_matrix(step[3:6]) @ rotation_matrix(before[3:6])
        return np.concatenate([before[0:3] + step[0:3], rotation_vector(rotation)])

    def _solve(self, joints: Array, target: Array) -> Solution:
        goal = pose(self.position + target[0:3], rotation_matrix(target[3:6]) @ self.rotation)
        return self._kinematics.solve(joints, goal)

    def _excess(self, step: Array) -> float:
        return float((np.abs(step) / self._joint_step).max())
