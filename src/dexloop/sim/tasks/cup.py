"""Take a cup from the side, between thumb and fingers, and lift it off the table."""

from __future__ import annotations

import math

import numpy as np

from dexloop.sim.rotations import frame
from dexloop.sim.state import SceneState
from dexloop.sim.tasks.base import GraspPlan, StartRegion, Task, lifted_by_hand, upright

_RADIUS = 0.032
_HEIGHT = 0.090
# Thinner walls than 6 mm are penetrated by the fingers at 4 ms.
_WALL = 0.006
_MASS = 0.15
_STAVES = 12

# Found by a random search for what forgives most: of grasps with an error of 6 mm along each axis and of 0.08 rad 95 in
# 100 succeed. With less roll of the wrist and all fingers closed alike 79 did.
_HAND = frame(z=[1.0, 0.33, -0.07], x=[-0.33, 1.0, -0.14])
_GRASP_IN_HAND = np.array([-0.023, 0.0, -0.009])
_APPROACH_IN_HAND = _GRASP_IN_HAND + np.array([-0.080, 0.0, -0.030])
# In the order little, ring, middle, index, thumb bend, thumb rotation.
_OPENED = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.80])
_CLOSED = np.array([0.79, 0.755, 0.685, 0.65, 0.40, 0.80])


def _cup_mjcf() -> str:
    """A cup of flat staves on a disc; only the disc stands on the table, which keeps its contacts few."""
    colour = ".90 .26 .16 1"
    half_width = math.pi * _RADIUS / _STAVES * 1.03
    parts: list[str] = []
    for i in range(_STAVES):
        angle = 2 * math.pi * i / _STAVES
        x, y = _RADIUS * math.cos(angle), _RADIUS * math.sin(angle)
        parts.append(
            f'<geom class="object" type="box" size="{_WALL / 2} {half_width:.6f} {_HEIGHT / 2 - 0.0015}"'
            f' pos="{x:.6f} {y:.6f} .0015" euler="0 0 {math.degrees(angle)}" mass="{0.8 * _MASS / _STAVES}"'
            f' rgba="{colour}"/>'
        )
    parts.append(
        f'<geom class="object" type="cylinder" size="{_RADIUS} {_WALL}" pos="0 0 {_WALL - _HEIGHT / 2}"'
        f' mass="{0.2 * _MASS}" rgba="{colour}"/>'
    )
    return f'<body name="object" pos="0 0 {_HEIGHT / 2}"><freejoint name="object"/>{"".join(parts)}</body>'


def _holding(state: SceneState) -> bool:
    """Lifted 6 cm, between thumb and a finger, upright, slow, and borne by the hand alone."""
    return lifted_by_hand(state) and state.any_finger and upright(state)


def _plan(state: SceneState) -> GraspPlan:
    """Forward onto the cup from the side of the hand, the palm to the left, at the height of its middle."""
    return GraspPlan(
        rotation=_HAND,
        approach=state.object_position + _HAND @ _APPROACH_IN_HAND + np.array([0.0, 0.0, 0.010]),
        grasp=state.object_position + _HAND @ _GRASP_IN_HAND,
        opened=_OPENED,
        closed=_CLOSED,
        lift=0.10,
    )


TASK = Task(
    name="cup",
    summary="take a cup from the side and lift it",
    max_seconds=10.0,
    mjcf=_cup_mjcf(),
    object_position=(0.40, 0.02),
    symmetry=0,
    home=(-0.13, -1.92, -1.41, -0.56, 1.60, 1.47),
    ee_position=(0.28, -0.14, 0.16),
    ee_rotation=frame(z=[1.0, 0.4, -0.15], x=[-0.4, 1.0, 0.0]),
    fingers=(0.0, 0.0, 0.0, 0.0, 0.0, 0.80),
    fixed=StartRegion(ee_position=0.04, ee_rotation=0.08, object_position=0.005, object_yaw=math.pi),
    random=StartRegion(ee_position=0.04, ee_rotation=0.08, object_position=0.06, object_yaw=math.pi),
    holding=_holding,
    plan=_plan,
)
