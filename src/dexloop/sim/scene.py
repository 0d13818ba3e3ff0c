"""The scene as MJCF: Realman RM65-B arm, Inspire RH56 hand, table, chest and head cameras and one object.

World frame: origin on the table top in front of the robot, x forward, y to the robot's left, z up.
Only primitive shapes: rendering cost is geometry, and contacts between primitives are fast and robust.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from dexloop.sim.hand import HandCalibration, hand_actuators, hand_body, hand_couplings, hand_defaults
from dexloop.sim.kinematics import JOINT_LIMITS, RM65_B, link_transform, pose
from dexloop.sim.rotations import Array, quaternion, rotation_matrix

ARM_JOINTS = tuple(f"joint{i}" for i in range(1, 7))
CAMERAS: tuple[str, ...] = ("chest", "head")
# A point this near a camera, or behind it, counts as this far [m].
_NEAREST = 0.05


@dataclass(frozen=True, slots=True)
class Mounting:
    """Where the arm's base stands: position [m] and rotation vector [rad] in the world."""

    position: tuple[float, float, float] = (-0.09, -0.17, 0.135)
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def transform(self) -> Array:
        """The base's pose (4, 4) in the world."""
        return pose(self.position, rotation_matrix(self.rotation))


@dataclass(frozen=True, slots=True)
class Part:
    """A square part of what a camera sees: how far right and up its middle lies, and half a side, at distance one."""

    right: float
    up: float
    half: float


@dataclass(frozen=True, slots=True)
class View:
    """A camera: position and the point it looks at [m, world], vertical field of view [degrees]."""

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    fovy: float

    @property
    def axes(self) -> Array:
        """Rows (3, 3): the camera's right, up and backwards, as MuJoCo's cameras have x, y and z [world]."""
        backwards = np.subtract(self.position, self.target)
        backwards = backwards / np.linalg.norm(backwards)
        right = np.cross([0.0, 0.0, 1.0], backwards)
        right = right / np.linalg.norm(right)
        return np.stack([right, np.cross(backwards, right), backwards])

    def around(self, point: Array, width: float) -> Part:
        """The part whose middle is a point (3,) [m, world] and whose sides span ``width`` [m] at its distance."""
        right, up, backwards = self.axes @ (point - np.array(self.position))
        distance = max(-backwards, _NEAREST)
        return Part(right / distance, up / distance, width / 2.0 / distance)


@dataclass(frozen=True, slots=True)
class SceneConfig:
    """What the scene is made of.

    timestep: physics step [s]. flexible: whether the object has a flex in it. saturation: whether the actuators have
    their torque limits. calibration: the hand's. mounting: the arm's. chest, head: the cameras of the robot; front:
    the one for people.
    """

    timestep: float = 0.004
    flexible: bool = False
    saturation: bool = True
    calibration: HandCalibration = field(default_factory=HandCalibration)
    mounting: Mounting = field(default_factory=Mounting)
    chest: View = View((-0.02, 0.18, 0.38), (0.36, -0.015, 0.09), 41.0)
    head: View = View((-0.05, 0.02, 0.78), (0.36, -0.035, 0.06), 27.0)
    front: View = View((1.1, 0.55, 0.65), (0.30, -0.05, 0.10), 40.0)

    @property
    def cameras(self) -> dict[str, View]:
        """The robot's own, by name."""
        return {"chest": self.chest, "head": self.head}


# Stiffness [N m/rad] and torque limit [N m] of the arm's joints; the limits are near the maker's rated torques.
_ARM_ACTUATORS = ((3000, 80), (3000, 80), (2000, 60), (800, 20), (800, 20), (500, 20))
_FINGER_TORQUE = 2.0
# Shape and mass [kg] of each link, in its own frame; without contact, since the workspace keeps them off the table.
_LINKS = (
    '<geom type="capsule" fromto="0 0 -.13 0 0 0" size=".045" mass="1.5"/>',
    '<geom type="capsule" fromto="0 0 0 .256 0 0" size=".042" mass="1.65"/>',
    '<geom type="capsule" fromto="0 0 0 0 -.08 0" size=".038" mass=".73"/>',
    '<geom type="capsule" fromto="0 0 -.12 0 0 0" size=".034" mass=".67"/>',
    '<geom type="capsule" fromto="0 0 0 0 -.05 0" size=".033" mass=".65"/>',
    '<geom type="cylinder" size=".030 .020" pos="0 0 -.025" mass=".11"/>',
)


def build_mjcf(config: SceneConfig, object_mjcf: str) -> str:
    """The whole scene as an MJCF document.

    object_mjcf: one body named "object" whose first joint is a freejoint and whose shapes are of class
    "object" (or "soft"), at its rest pose.

    The solver settings hold a grasp: elliptic cones, condim 4 and three no-slip iterations stop creep; the
    dense Jacobian avoids a wrong Hessian of MuJoCo 4.0.0's sparse one. A flex is integrated implicitly, as it must be
    at 4 ms, by the discrete integrator alone, and that has no no-slip iterations.
    """
    integrator, noslip = ("discrete", 0) if config.flexible else ("implicitfast", 3)
    torque = _FINGER_TORQUE if config.saturation else None
    return f"""
<mujoco model="dexloop">
<compiler angle="degree" autolimits="true"/>
<option timestep="{config.timestep}" integrator="{integrator}" cone="elliptic" impratio="1" solver="Newton"
 iterations="50" ls_iterations="20" noslip_iterations="{noslip}" jacobian="dense"/>
<size memory="16M"/>
<visual>
 <global offwidth="960" offheight="960"/>
 <quality shadowsize="0" offsamples="0" numslices="10" numstacks="7" numquads="2"/>
 <headlight ambient=".35 .35 .35" diffuse=".45 .45 .45" specular="0 0 0"/>
 <map znear=".02" zfar="6"/>
</visual>
<default>
 <geom solref=".008 1" solimp=".95 .99 .001"/>
 <default class="arm">
  <joint type="hinge" axis="0 0 1" damping="2" armature=".1"/>
  <geom contype="0" conaffinity="0" rgba=".86 .86 .89 1"/>
 </default>
 {hand_defaults()}
 <default class="object"><geom contype="1" conaffinity="2" condim="4" friction="1.0 .01 .0005"/></default>
 <default class="soft">
  <geom contype="1" conaffinity="2" condim="4" friction="1.2 .01 .0005" solref=".02 1" solimp=".7 .95 .006"/>
 </default>
</default>
<asset>
 <texture name="sky" type="skybox" builtin="gradient" rgb1=".62 .70 .78" rgb2=".25 .28 .33" width="32" height="32"/>
</asset>
<worldbody>
 <light name="lamp" pos=".3 -.2 1.6" dir="0 .1 -1" diffuse=".6 .6 .6" castshadow="false"/>
 <geom name="floor" type="plane" size="3 3 .1" pos="0 0 -.75" rgba=".40 .42 .45 1" contype="0" conaffinity="0"/>
 <geom name="table" type="box" size=".4 .55 .1" pos=".45 0 -.1" rgba=".72 .66 .56 1" contype="2" conaffinity="3"
  condim="4" friction=".8 .005 .0001"/>
 {_camera("chest", config.chest)}{_camera("head", config.head)}{_camera("front", config.front)}
 {_arm(config.mounting)}
 {object_mjcf}
</worldbody>
<equality>{hand_couplings()}</equality>
<contact><exclude body1="base" body2="link1"/></contact>
<actuator>
 {_arm_actuators(config.saturation)}
 {hand_actuators(config.calibration, torque)}
</actuator>
</mujoco>"""


def _numbers(values: Array | tuple[float, ...]) -> str:
    return " ".join(f"{float(v):.9g}" for v in values)


def _camera(name: str, view: View) -> str:
    """A fixed camera at a view."""
    axes = _numbers(view.axes[:2].ravel())
    return f'<camera name="{name}" pos="{_numbers(view.position)}" xyaxes="{axes}" fovy="{view.fovy}"/>'


def _arm(mounting: Mounting) -> str:
    """Nested bodies, each frame taken from the kinematic table, with the hand on the last one."""
    base = mounting.transform()
    inner = hand_body()
    for i in reversed(range(6)):
        frame = link_transform(RM65_B[i])
        limit = math.degrees(JOINT_LIMITS[i])
        armature = ' armature=".05"' if i == 5 else ""
        inner = (
            f'<body name="link{i + 1}" gravcomp="1" pos="{_numbers(frame[:3, 3])}"'
            f' quat="{_numbers(quaternion(frame[:3, :3]))}">'
            f'<joint name="{ARM_JOINTS[i]}" range="{-limit} {limit}"{armature}/>{_LINKS[i]}{inner}</body>'
        )
    return (
        f'<body name="base" childclass="arm" gravcomp="1" pos="{_numbers(base[:3, 3])}"'
        f' quat="{_numbers(quaternion(base[:3, :3]))}">'
        f'<geom type="cylinder" size=".054 .05" pos="0 0 .05" mass="1"/>{inner}</body>'
    )


def _arm_actuators(saturation: bool) -> str:
    return "".join(
        f'<position name="{joint}" joint="{joint}" kp="{kp}" dampratio="1"'
        + (f' forcerange="{-torque} {torque}"/>' if saturation else "/>")
        for joint, (kp, torque) in zip(ARM_JOINTS, _ARM_ACTUATORS, strict=True)
    )
