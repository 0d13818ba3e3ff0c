"""Pinch a small, heavy cube between thumb, index and middle finger, from above, and lift it off the table."""

from __future__ import annotations

import math

import numpy as np

from dexloop.sim.rotations import Array, frame, yaw_matrix
from dexloop.sim.state import SceneState
from dexloop.sim.tasks.base import GraspPlan, StartRegion, Task, lifted_by_hand

_HALF = 0.020
_MASS = 0.25
_QUARTER = math.pi / 2

# The palm's face is at x = -0.017 in the end effector's frame; a cube whose centre is farther from it than
# half its diagonal cannot touch it, whichever way it is turned, not even one that is a fifth larger [m].
_CLEAR_OF_PALM = -0.017 + 1.2 * math.sqrt(3.0) * _HALF

# How far the fingers point down, and from the heading of the cube's face to the hand's [rad].
_TILT = 0.38
_TURN = 0.20
# The cube's centre in the hand's frame when grasped [m].
_CUBE_IN_HAND = np.array([0.044, 0.024, 0.020])
_APPROACH_ABOVE = np.array([0.0, 0.0, 0.070])
# Bent in advance, so that closing is short.
# In the order little, ring, middle, index, thumb bend, thumb rotation.
_OPENED = np.array([0.0, 0.0, 0.28, 0.28, 0.10, 1.0])
_CLOSED = np.array([0.0, 0.0, 0.74, 0.74, 0.56, 1.0])


def _hand(heading: float) -> Array:
    """The hand above the table, palm down, fingers along ``heading`` [rad] and slightly down."""
    return yaw_matrix(heading) @ frame(z=[math.cos(_TILT), 0.0, -math.sin(_TILT)], x=[0.0, 0.0, -1.0])


def _holding(state: SceneState) -> bool:
    """Lifted 6 cm, between thumb and index or middle finger, clear of the palm, slow, borne by the hand alone."""
    in_hand = state.ee_rotation.T @ (state.object_position - state.ee_position)
    _, _, middle, index, _ = state.contacts
    return lifted_by_hand(state) and (index or middle) and float(in_hand[0]) > _CLEAR_OF_PALM


def _heading(state: SceneState) -> float:
    """The heading of the face nearest to straight ahead [rad], in [-pi/4, pi/4)."""
    yaw = state.object_yaw
    if abs(float(state.object_up[2])) < 0.5:
        # The cube was toppled onto another face: what was up is now one of the headings.
        yaw = math.atan2(float(state.object_up[1]), float(state.object_up[0]))
    return (yaw + _QUARTER / 2) % _QUARTER - _QUARTER / 2


def _plan(state: SceneState) -> GraspPlan:
    """Down onto the cube from above, the hand turned so that thumb and fingers close on two opposite faces."""
    hand = _hand(_heading(state) + _TURN)
    grasp = state.object_position - hand @ _CUBE_IN_HAND
    return GraspPlan(
        rotation=hand,
        approach=grasp + _APPROACH_ABOVE,
        grasp=grasp,
        opened=_OPENED,
        closed=_CLOSED,
        lift=0.10,
    )


TASK = Task(
    name="cube",
    summary="pinch a small, heavy cube from above and lift it",
    max_seconds=10.0,
    mjcf=(
        f'<body name="object" pos="0 0 {_HALF}"><freejoint name="object"/>'
        f'<geom class="object" type="box" size="{_HALF} {_HALF} {_HALF}" mass="{_MASS}" rgba=".80 .12 .55 1"/></body>'
    ),
    object_position=(0.38, -0.03),
    symmetry=4,
    home=(-0.18, -1.05, -2.11, -0.38, 1.20, 0.0),
    ee_position=(0.35, -0.16, 0.17),
    ee_rotation=_hand(_TURN),
    fingers=(0.0, 0.0, 0.28, 0.28, 0.10, 1.0),
    fixed=StartRegion(ee_position=0.04, ee_rotation=0.08, object_position=0.005, object_yaw=0.15),
    random=StartRegion(ee_position=0.04, ee_rotation=0.08, object_position=0.05, object_yaw=0.55),
    holding=_holding,
    plan=_plan,
    # At 4 ms the tips sink half as deep again into the cube (median of the deepest contact 0.7 mm, not 0.5 mm).
    timestep=0.002,
)
