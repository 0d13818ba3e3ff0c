"""From a robot file to drivers, plant and controller."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.control_config import ControlConfig
from dexloop.robot.devices import Hand
from dexloop.robot.drivers.cameras import RealSenseConfig, open_realsense, open_uvc
from dexloop.robot.drivers.inspire.hand import HandConfig, InspireHand
from dexloop.robot.drivers.inspire.modbus import modbus_rtu, modbus_tcp
from dexloop.robot.drivers.inspire.serial_line import SerialLine
from dexloop.robot.drivers.realman import RealmanArm, RelayedHand
from dexloop.robot.hand_view import KnownCamera, hand_views
from dexloop.robot.hardware_plant import HardwareConfig, HardwarePlant, World
from dexloop.robot.plant import tick_for
from dexloop.robot.robot_file import HandSection, RobotFile
from dexloop.sim.kinematics import pose
from dexloop.sim.tasks.base import Task

# A larger remaining error of the inverse kinematics means that a pose is out of reach [m or rad].
_REACHED = 1e-4


def hardware_config(file: RobotFile, task: Task) -> HardwareConfig:
    """How the devices are driven for a task, from the task's start pose where the file names no home.

    Raises DexloopError where the arm does not reach that pose.
    """
    if file.reset.home is not None:
        return file.hardware(file.reset.home, task.fingers)
    near = file.hardware(task.home, task.fingers)
    start = pose(task.ee_position, task.ee_rotation)
    solution = near.kinematics().solve(np.array(task.home), start, iterations=100)
    if solution.residual > _REACHED:
        raise DexloopError(f"[reset] home is missing, and the arm does not reach the start of task {task.name!r}")
    return replace(near, home=tuple(solution.q.tolist()))


def control_config(file: RobotFile, task: Task, max_seconds: float | None, reset_seconds: float) -> ControlConfig:
    """How a controller drives it; max_seconds: deadline [s], None for the task's own."""
    control, reset = file.control, file.reset
    return ControlConfig(
        task=task.name,
        control_hz=control.hz,
        max_steps=max(1, round((max_seconds or task.max_seconds) * control.hz)),
        reset_seconds=reset_seconds,
        action=control.action,
        limits=control.limits,
        homing_speed=reset.speed,
        homing_finger_speed=reset.finger_speed,
        safety=file.safety,
    )


def open_plant(
    file: RobotFile,
    config: HardwareConfig,
    cameras: Sequence[KnownCamera],
    world: World | None = None,
) -> HardwarePlant:
    """Connect to arm and hand; the plant owns them and the cameras. Raises DexloopError where one does not answer."""
    with contextlib.ExitStack() as opened:
        for camera in cameras:
            opened.callback(camera.close)
        # The controller keeps the pace of its ticks; the driver only sees that none comes too early.
        period = tick_for(file.control.hz, file.arm.period)
        arm = RealmanArm(file.arm.host, file.arm.port, file.arm.push_port, period=period, stale=file.stale)
        opened.callback(arm.close)
        hand = open_hand(file.hand, arm)
        opened.callback(hand.close)
        plant = HardwarePlant(arm, hand, cameras, config, world, hand_views(file.cameras, cameras))
        opened.pop_all()
    return plant


def open_cameras(file: RobotFile) -> list[KnownCamera]:
    """Open every camera of the file and wait for its first picture; all or none."""
    with contextlib.ExitStack() as opened:
        cameras: list[KnownCamera] = []
        for section in file.cameras.values():
            driver = section.driver
            camera = open_realsense(driver) if isinstance(driver, RealSenseConfig) else open_uvc(driver)
            opened.callback(camera.close)
            cameras.append(camera)
        opened.pop_all()
    return cameras


def open_hand(hand: HandSection, arm: RealmanArm) -> Hand:
    """Connect to the hand, by the arm's relay where it hangs on that."""
    match hand.transport:
        case "eb90":
            line = SerialLine(hand.device, hand.id)
        case "modbus-rtu":
            line = modbus_rtu(hand.device, hand.id)
        case "modbus-tcp":
            line = modbus_tcp(hand.host, hand.port, hand.id)
        case "arm-relay":
            return RelayedHand(arm, follow=hand.follow, opened=hand.opened)
    return InspireHand(line, hand.calibration, HandConfig(timeout=hand.timeout))
