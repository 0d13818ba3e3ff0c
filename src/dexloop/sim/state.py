"""The simulation's truth about one moment, and its form as the privileged observation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dexloop.sim.hand import CONTACT_NAMES
from dexloop.sim.rotations import Array
from dexloop.types import FloatArray

PRIVILEGED_NAMES = (
    *(f"object_{axis}_in_hand" for axis in "xyz"),
    *(f"object_up_{axis}_in_hand" for axis in "xyz"),
    "object_yaw_sin",
    "object_yaw_cos",
    "object_height",
    *(f"object_velocity_{axis}_in_hand" for axis in "xyz"),
    *(f"contact_{name}" for name in CONTACT_NAMES),
    "lifted",
    *(f"ee_{axis}" for axis in "xyz"),
    *(f"ee_axis_{axis}_{of}" for of in "xz" for axis in "xyz"),
)
PRIVILEGED_SIZE = len(PRIVILEGED_NAMES)
LIFTED_HEIGHT = 0.01
"""Height above rest from which the flag ``lifted`` is set [m]."""


@dataclass(frozen=True, slots=True)
class SceneState:
    """Where everything is, in the world frame.

    ee_position, object_position (3,) [m]; ee_rotation (3, 3); object_up (3,): the object's own z axis;
    object_yaw: the object's heading [rad], in [0, 2 pi / symmetry); height: of the object above its rest [m];
    velocity (3,) [m/s]: of the object; contacts (5,) bool: digits that touch it; supported: whether anything
    but the hand touches it; fingers (6,): closed fraction.
    """

    ee_position: Array
    ee_rotation: Array
    object_position: Array
    object_up: Array
    object_yaw: float
    height: float
    velocity: Array
    contacts: tuple[bool, ...]
    supported: bool
    fingers: Array

    @property
    def thumb(self) -> bool:
        """Whether the thumb touches the object."""
        return self.contacts[-1]

    @property
    def any_finger(self) -> bool:
        """Whether a digit other than the thumb touches the object."""
        return any(self.contacts[:-1])


def privileged_vector(state: SceneState, symmetry: int) -> FloatArray:
    """The privileged observation (27,) float32; its layout is PRIVILEGED_NAMES.

    symmetry: number of headings that look the same; 0 for a round object, whose heading is left out.
    """
    to_hand = state.ee_rotation.T
    yaw = (0.0, 0.0)
    if symmetry > 0:
        yaw = (math.sin(symmetry * state.object_yaw), math.cos(symmetry * state.object_yaw))
    return np.concatenate(
        [
            to_hand @ (state.object_position - state.ee_position),
            to_hand @ state.object_up,
            yaw,
            [state.height],
            to_hand @ state.velocity,
            np.asarray(state.contacts, dtype=np.float64),
            [float(state.height > LIFTED_HEIGHT)],
            state.ee_position,
            state.ee_rotation[:, 0],
            state.ee_rotation[:, 2],
        ],
        dtype=np.float32,
    )


def state_from_privileged(vector: FloatArray, symmetry: int, fingers: Array) -> SceneState:
    """The inverse of ``privileged_vector``; the vector does not tell what supports a lifted object."""
    v = vector.astype(np.float64)
    x, z = v[21:24], v[24:27]
    rotation = np.stack([x, np.cross(z, x), z], axis=1)
    yaw = math.atan2(v[6], v[7]) / symmetry if symmetry > 0 else 0.0
    return SceneState(
        ee_position=v[18:21],
        ee_rotation=rotation,
        object_position=v[18:21] + rotation @ v[0:3],
        object_up=rotation @ v[3:6],
        object_yaw=yaw,
        height=float(v[8]),
        velocity=rotation @ v[9:12],
        contacts=tuple(bool(c > 0.5) for c in v[12:17]),
        supported=float(v[17]) < 0.5,
        fingers=fingers,
    )
