"""Where the robot stands and its hand is: what setting up a robot asks of kinematics."""

from __future__ import annotations

import numpy as np

from dexloop.robot.devices import Array
from dexloop.robot.envelope import CONSTRAINTS, Envelope
from dexloop.robot.hand_shape import FINGER_RADII, RIGID, RIGID_RADII, finger_points, hand_shape
from dexloop.robot.hardware_plant import HardwareConfig
from dexloop.robot.safety import SafetyLimits

_INDEX_TIP = 11  # of the points of ``finger_points``


def lowest_point(config: HardwareConfig, joints: Array, fingers: Array) -> float:
    """Height of the hand's lowest point above the table [m]; joints (6,) [rad], fingers (6,)."""
    points = _in_world(config, joints, np.concatenate([RIGID, finger_points(fingers[None])[0]]))
    return float((points[:, 2] - np.concatenate([RIGID_RADII, FINGER_RADII])).min())


def index_tip(config: HardwareConfig, joints: Array, fingers: Array) -> Array:
    """The point (3,) of the index fingertip that a table touches first, in the world [m]."""
    centre = _in_world(config, joints, finger_points(fingers[None])[0, _INDEX_TIP : _INDEX_TIP + 1])[0]
    return centre - np.array([0.0, 0.0, FINGER_RADII[_INDEX_TIP]])


def start_problems(config: HardwareConfig, safety: SafetyLimits, tick: float) -> list[str]:
    """What keeps the robot from starting at ``config.home``, in words; tick: between two setpoints [s]."""
    home = np.array(config.home)
    problems = [
        f"joint {i + 1} is {np.degrees(over):.1f} degrees beyond its range"
        for i, over in enumerate(np.abs(home) - np.array(safety.joint_range))
        if over > 0.0
    ]
    kinematics = config.kinematics()
    envelope = Envelope(kinematics, safety, tick)
    envelope.start(home)
    hand = hand_shape(np.array(config.fingers)[None], kinematics.tool_rotation)
    beyond = envelope.look(home[None], hand).beyond[0]
    for name, over in zip(CONSTRAINTS, beyond, strict=True):
        if over > 0.0:
            problems.append(_problem(name, float(over)))
    return problems


def _problem(name: str, over: float) -> str:
    if name == "singularity":
        return "too near to a singularity"
    if name == "workspace":
        return f"{1e3 * over:.0f} mm outside the workspace"
    return f"{name} {1e3 * over:.0f} mm too near"


def _in_world(config: HardwareConfig, joints: Array, points: Array) -> Array:
    """Points (N, 3) of the hand's frame in the world [m]."""
    end = config.kinematics().forward(joints)
    return (points - np.array(config.end_effector)) @ end[:3, :3].T + end[:3, 3]
