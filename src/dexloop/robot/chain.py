"""Poses of all of the arm's links for many joint angles at once, as a look ahead needs them at every tick."""

from __future__ import annotations

import numpy as np

from dexloop.robot.devices import Array
from dexloop.sim.kinematics import RM65_B, ArmKinematics, link_transform

# Any posture in which the axes point in different directions.
_GENERIC = np.full(6, 0.3)


class ArmChain:
    """The arm of ``kinematics``; base (4, 4) is where it stands in the world."""

    def __init__(self, kinematics: ArmKinematics) -> None:
        self._links = np.stack([link_transform(row) for row in RM65_B])
        self.base, self._tool = np.eye(4), np.eye(4)
        self.base, self._tool = self._standing(kinematics)

    def frames(self, joints: Array) -> Array:
        """Poses (N, 7, 4, 4) of the six links and of the end effector in the world, for joints (N, 6) [rad]."""
        count = len(joints)
        cosine, sine = np.cos(joints), np.sin(joints)
        turns = np.zeros((count, 6, 4, 4))
        turns[:, :, 0, 0] = turns[:, :, 1, 1] = cosine
        turns[:, :, 1, 0] = sine
        turns[:, :, 0, 1] = -sine
        turns[:, :, 2, 2] = turns[:, :, 3, 3] = 1.0
        steps = self._links @ turns
        out = np.empty((count, 7, 4, 4))
        out[:, 0] = self.base @ steps[:, 0]
        for i in range(1, 6):
            np.matmul(out[:, i - 1], steps[:, i], out=out[:, i])
        np.matmul(out[:, 5], self._tool, out=out[:, 6])
        return out

    def _standing(self, kinematics: ArmKinematics) -> tuple[Array, Array]:
        """Poses (4, 4) of the base in the world and of the tool in the flange.

        From the kinematics' Jacobian and pose at one posture: its axes W = R Z are those of an arm whose base is the
        world, turned by the base's rotation R; and its linear part w x (p - R o - b), with that arm's origins o, is
        linear in the base's position b.
        """
        own = self.frames(_GENERIC[None])[0]
        jacobian, end = kinematics.jacobian(_GENERIC), kinematics.forward(_GENERIC)
        axes, origins = own[:6, :3, 2], own[:6, :3, 3]
        turned = jacobian[3:].T
        base = np.eye(4)
        base[:3, :3] = np.linalg.lstsq(axes, turned, rcond=None)[0].T
        arms = end[:3, 3] - origins @ base[:3, :3].T
        crosses = np.concatenate([_cross_matrix(axis) for axis in turned])
        missing = (np.cross(turned, arms) - jacobian[:3].T).ravel()
        base[:3, 3] = np.linalg.lstsq(crosses, missing, rcond=None)[0]
        return base, np.linalg.inv(base @ own[5]) @ end


def manipulability(frames: Array) -> Array:
    """det J (N,) [m^3] of the geometric Jacobian for frames (N, 7, 4, 4), whose size is Yoshikawa's (1985) measure.

    The last three axes meet in the wrist. Taken there, which changes no determinant, the Jacobian falls into two
    blocks: the first three axes move the wrist's centre, the last three turn the hand.
    """
    axes, centre = frames[:, :6, :3, 2], frames[:, 3, :3, 3]
    blocks = np.empty((len(frames), 2, 3, 3))
    blocks[:, 0] = _cross(axes[:, :3], centre[:, None] - frames[:, :3, :3, 3])
    blocks[:, 1] = axes[:, 3:]
    return np.linalg.det(blocks).prod(axis=1)


def _cross(a: Array, b: Array) -> Array:
    """As np.cross, in a tenth of its time."""
    out = np.empty(np.broadcast_shapes(a.shape, b.shape))
    out[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    out[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    out[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return out


def _cross_matrix(vector: Array) -> Array:
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
