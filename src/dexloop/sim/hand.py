"""The Inspire RH56 right hand from primitive shapes: six actuators, twelve joints, the last ones coupled.

Hand frame: origin at the flange, z along the fingers, x out of the palm, y towards the thumb. The six degrees
of freedom are, in the maker's order, little, ring, middle, index, thumb bend, thumb rotation; the maker counts
0 = closed to 1000 = open, dexloop 0 = open to 1 = closed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dexloop.sim.rotations import Array, yaw_matrix

FINGER_NAMES = ("little", "ring", "middle", "index", "thumb_bend", "thumb_rotation")
CONTACT_NAMES = ("little", "ring", "middle", "index", "thumb")
"""The digits, in the order in which contact flags are given."""


@dataclass(frozen=True, slots=True)
class HandCalibration:
    """Joint angle of each degree of freedom when closed [rad]; 0 when open.

    The published models of the RH56 differ (fingers 1.47 to 1.7, thumb bend 0.5 to 0.8, thumb rotation 1.3 to
    1.5 rad), so that a real hand is calibrated, not trusted.
    """

    closed: tuple[float, ...] = (1.47, 1.47, 1.47, 1.47, 0.8, 1.5)


FLANGE_TO_HAND = yaw_matrix(np.pi)
"""Rotation (3, 3) of the hand's frame in the flange's."""
EE_IN_HAND: Array = np.array([0.030, 0.003, 0.115])
"""The end effector: the point between palm, fingers and thumb, in the hand's frame [m]; its axes are the hand's."""


@dataclass(frozen=True, slots=True)
class _Finger:
    """A finger: place of its knuckle across the palm, lengths of its two links and radius [m]."""

    name: str
    y: float
    proximal: float
    distal: float
    radius: float


_FINGERS = (
    _Finger("little", -0.0255, 0.029, 0.038, 0.0080),
    _Finger("ring", -0.0064, 0.034, 0.045, 0.0085),
    _Finger("middle", 0.0128, 0.037, 0.048, 0.0085),
    _Finger("index", 0.0320, 0.034, 0.045, 0.0085),
)
# Distal joints follow their proximal one through a linkage; the ratios are those of the hand's linkages.
_COUPLINGS = (
    *((f"{f.name}_distal", f.name, 1.06) for f in _FINGERS),
    ("thumb_middle", "thumb_bend", 0.8),
    ("thumb_distal", "thumb_bend", 1.0),
)


def hand_defaults() -> str:
    """MJCF default classes of the hand."""
    return """
<default class="hand">
 <geom condim="4" friction="1.0 .01 .0005" contype="2" conaffinity="1" mass=".01"/>
 <joint type="hinge" axis="0 1 0" damping=".02" armature=".0005"/>
 <default class="finger"><geom type="capsule" rgba=".16 .30 .55 1"/></default>
 <default class="fingertip"><geom type="capsule" rgba=".45 .68 .95 1"/></default>
 <default class="thumb"><geom type="capsule" rgba=".10 .62 .30 1"/></default>
 <default class="thumbtip"><geom type="capsule" rgba=".45 .95 .35 1"/></default>
</default>"""


def hand_body() -> str:
    """MJCF of the hand, to stand inside the body of the flange."""
    fingers = "".join(_finger_body(f) for f in _FINGERS)
    return f"""
<body name="hand" childclass="hand" gravcomp="1" euler="0 0 180">
 <geom type="cylinder" size=".028 .022" pos="0 0 .022" mass=".1" contype="0" conaffinity="0" rgba=".3 .3 .33 1"/>
 <geom name="palm" type="box" size=".013 .04 .047" pos="0 .003 .09" mass=".25" rgba=".22 .22 .26 1"/>
 <site name="ee" pos="{" ".join(str(v) for v in EE_IN_HAND)}" size=".004" group="4"/>
 {fingers}
 <body name="thumb_base" pos=".008 .030 .066" gravcomp="1">
  <joint name="thumb_rotation" axis="0 0 -1" range="0 86"/>
  <geom type="sphere" size=".012" contype="0" conaffinity="0" rgba=".10 .62 .30 1"/>
  <body name="thumb1" euler="-80 0 0" gravcomp="1">
   <joint name="thumb_bend" axis="1 0 0" range="-6 46"/>
   <geom class="thumb" name="thumb1" fromto="0 0 0 0 0 .046" size=".0095"/>
   <body name="thumb2" pos="0 0 .046">
    <joint name="thumb_middle" axis="1 0 0" range="-6 57"/>
    <geom class="thumb" name="thumb2" fromto="0 0 0 0 0 .022" size=".009"/>
    <body name="thumb3" pos="0 0 .022">
     <joint name="thumb_distal" axis="1 0 0" range="-6 69"/>
     <geom class="thumbtip" name="thumb3" fromto="0 0 0 0 0 .022" size=".0088"/>
    </body>
   </body>
  </body>
 </body>
</body>"""


def hand_couplings() -> str:
    """MJCF equality constraints that tie each coupled joint to its leader."""
    return "".join(
        f'<joint joint1="{follower}" joint2="{leader}" polycoef="0 {ratio} 0 0 0" '
        f'solref=".005 1" solimp=".98 .999 .001"/>'
        for follower, leader, ratio in _COUPLINGS
    )


def hand_actuators(calibration: HandCalibration, torque: float | None) -> str:
    """MJCF position actuators, in the order of FINGER_NAMES; torque: their limit [N m], None for none."""
    limit = "" if torque is None else f'forcerange="{-torque} {torque}"'
    return "".join(
        f'<position name="{name}" joint="{name}" kp="4" kv=".16" ctrlrange="0 {closed}" {limit}/>'
        for name, closed in zip(FINGER_NAMES, calibration.closed, strict=True)
    )


def _finger_body(finger: _Finger) -> str:
    n, r = finger.name, finger.radius
    return f"""
<body name="{n}1" pos=".002 {finger.y} .137">
 <joint name="{n}" range="0 84.3"/>
 <geom class="finger" name="{n}1" fromto="0 0 0 0 0 {finger.proximal}" size="{r}"/>
 <body name="{n}2" pos="0 0 {finger.proximal}">
  <joint name="{n}_distal" range="-2.6 92"/>
  <geom class="fingertip" name="{n}2" fromto="0 0 0 .006 0 {finger.distal}" size="{0.95 * r}"/>
 </body>
</body>"""
