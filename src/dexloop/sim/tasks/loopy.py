"""Grasp a soft plush beaver, sitting on the table, around its chest and lift it."""

from __future__ import annotations

import numpy as np

from dexloop.sim.rotations import Array, frame, yaw_matrix
from dexloop.sim.state import SceneState
from dexloop.sim.tasks.base import GraspPlan, StartRegion, Task, lifted_by_hand

# The doll's frame: origin in the middle of the belly, -x where the face looks, z up when it sits.
_BELLY_HEIGHT = 0.0282
PINK, _ROSE, _CREAM, _DARK, _WHITE = ".95 .50 .68 1", ".83 .30 .50 1", ".99 .89 .80 1", ".12 .07 .08 1", "1 1 1 1"
# Stiffness [N m/rad] and damping [N m s/rad] of the stuffing: the spine keeps the head up against gravity, limbs give
# way to a touch.
_SPINE = (0.05, 0.003)
_LIMB = (0.015, 0.001)

_PITCH = 0.085
# The hand turns with the doll, but by less: the body is round enough, and the wrist cannot turn as far [rad].
_HEADING = 0.15
_TURN_SHARE = 0.5
_MOST_YAW = 0.6
# Around the chest, the thumb below the head [m]. With an error of 8 mm along each axis and of 0.1 rad a tenth of the
# grasps fails 16 mm lower, and here a fiftieth.
_GRASP_HEIGHT = 0.068
_GRASP_IN_HAND = np.array([-0.036, 0.0, -0.007])
# Mostly along the fingers: a palm that comes from the side topples the doll.
_APPROACH_IN_HAND = _GRASP_IN_HAND + np.array([-0.045, 0.0, -0.075])
_RAISED = np.array([0.0, 0.0, 0.010])
# In the order little, ring, middle, index, thumb bend, thumb rotation.
_OPENED = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.85])
_CLOSED = np.array([0.80, 0.80, 0.80, 0.80, 0.45, 0.85])


def _part(name: str, place: str, stuffing: tuple[float, float], content: str) -> str:
    """A body that hangs on its parent by a sprung ball joint; content: its shapes and further bodies."""
    stiffness, damping = stuffing
    joint = f'<joint name="{name}" type="ball" stiffness="{stiffness}" damping="{damping}"/>'
    return f'<body name="{name}" pos="{place}">{joint}{content}</body>'


def _capsule(ends: str, radius: float, mass: float, colour: str) -> str:
    return f'<geom class="soft" type="capsule" fromto="{ends}" size="{radius}" mass="{mass}" rgba="{colour}"/>'


def ball(place: str, radius: float, mass: float, colour: str) -> str:
    return f'<geom class="soft" type="sphere" pos="{place}" size="{radius}" mass="{mass}" rgba="{colour}"/>'


def _patch(kind: str, place: str, size: str, colour: str) -> str:
    """Something sewn on, to be seen and not felt."""
    return f'<geom type="{kind}" pos="{place}" size="{size}" mass="0" contype="0" conaffinity="0" rgba="{colour}"/>'


def _head() -> str:
    ears = "".join(ball(f"0 {y} .050", 0.009, 0.001, _ROSE) for y in (-0.024, 0.024))
    eyes = "".join(_patch("sphere", f"-.023 {y} .036", ".0055", _DARK) for y in (-0.013, 0.013))
    muzzle = _capsule("-.021 .006 .018 -.021 -.006 .018", 0.011, 0.001, _CREAM)
    nose = _patch("sphere", "-.031 0 .024", ".0045", _DARK)
    teeth = _patch("box", "-.030 0 .007", ".002 .0045 .005", _WHITE)
    skull = ball(".004 0 .026", 0.032, 0.022, PINK)
    return _part("head", "0 0 .040", _SPINE, skull + ears + eyes + muzzle + nose + teeth)


def doll_mjcf(belly: str, chest: str) -> str:
    """The doll around a belly and a chest: limbs and head are capsules on sprung ball joints.

    It is built in its rest pose, head above the belly and limbs on the table, so that it hardly has to settle.
    """
    arms = legs = ""
    for side, y in (("right", 1.0), ("left", -1.0)):
        arm = _capsule(f"0 0 0 -.012 {y * 0.010} -.028", 0.0105, 0.006, _ROSE)
        leg = _capsule(f"0 0 0 -.030 {y * 0.016} 0", 0.013, 0.010, _ROSE)
        arms += _part(f"{side}_arm", f"0 {y * 0.024} .024", _LIMB, arm)
        legs += _part(f"{side}_leg", f"-.014 {y * 0.016} -.0147", _LIMB, leg)
    tail = _capsule("0 0 0 .026 0 0", 0.009, 0.006, _ROSE)
    return (
        f'<body name="object" pos="0 0 {_BELLY_HEIGHT}"><freejoint name="object"/>{belly}'
        + _part("chest", ".003 0 .018", _SPINE, chest + arms + _head())
        + legs
        + _part("tail", ".022 0 -.0190", _LIMB, tail)
        + "</body>"
    )


def _chain_mjcf() -> str:
    """All of capsules: ten times as fast as with a deformable belly (``loopy_flex``)."""
    belly = _capsule("0 -.004 0 0 .004 0", 0.0285, 0.040, PINK) + _patch("sphere", "-.014 0 .001", ".018", _CREAM)
    return doll_mjcf(belly, _capsule("0 0 .004 0 0 .020", 0.024, 0.020, PINK))


def _hand(heading: float) -> Array:
    """The hand with its palm to the left, fingers along ``heading`` [rad] and slightly down."""
    return yaw_matrix(heading) @ frame(z=[1.0, 0.0, -_PITCH], x=[0.0, 1.0, 0.0])


def _holding(state: SceneState) -> bool:
    """The belly lifted 6 cm, between thumb and a finger, slow, and no part of the doll on anything but the hand."""
    return lifted_by_hand(state) and state.any_finger


def _plan(state: SceneState) -> GraspPlan:
    """Forward beside the doll, fingers around its back and thumb across its chest, below the head."""
    hand = _hand(_HEADING + _TURN_SHARE * float(np.clip(state.object_yaw, -_MOST_YAW, _MOST_YAW)))
    middle = state.object_position + np.array([0.0, 0.0, _GRASP_HEIGHT - _BELLY_HEIGHT])
    return GraspPlan(
        rotation=hand,
        approach=middle + hand @ _APPROACH_IN_HAND + _RAISED,
        grasp=middle + hand @ _GRASP_IN_HAND,
        opened=_OPENED,
        closed=_CLOSED,
        lift=0.085,
    )


TASK = Task(
    name="loopy",
    summary="grasp a soft plush beaver around its chest and lift it",
    max_seconds=10.0,
    mjcf=_chain_mjcf(),
    object_position=(0.39, 0.01),
    symmetry=1,
    home=(-0.13, -1.92, -1.41, -0.56, 1.60, 1.47),
    ee_position=(0.27, -0.15, 0.16),
    ee_rotation=_hand(_HEADING),
    fingers=(0.0, 0.0, 0.0, 0.0, 0.0, 0.85),
    fixed=StartRegion(ee_position=0.04, ee_rotation=0.08, object_position=0.005, object_yaw=0.1),
    random=StartRegion(ee_position=0.04, ee_rotation=0.08, object_position=0.05, object_yaw=0.55),
    holding=_holding,
    plan=_plan,
)
