"""``dexloop doctor --config FILE``: is the robot that a file describes ready? Nothing moves."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import tyro

from dexloop.doctor import Finding, check_python, check_rendering, examine, tell
from dexloop.errors import DexloopError, unknown
from dexloop.progress import say
from dexloop.robot import checks
from dexloop.robot.camera_sections import CameraSection
from dexloop.robot.devices import Hand
from dexloop.robot.drivers.cameras import RealSenseConfig, open_realsense, open_uvc
from dexloop.robot.drivers.realman import RealmanArm
from dexloop.robot.hand_view import KnownCamera
from dexloop.robot.hardware_plant import HardwareConfig
from dexloop.robot.open_robot import hardware_config, open_hand
from dexloop.robot.robot_file import RobotFile, read_robot
from dexloop.robot.simulated_hardware import SimulatedHardware
from dexloop.sim.config import SimConfig
from dexloop.sim.tasks.base import Task, load_task, task_names

_ARM = "check power, cable, [arm] host and port; end other programs; open [arm] push_port for UDP in the firewall"
_HAND = "check its supply, cable and the group dialout; [hand] transport, device or host, and id; end other programs"
_CAMERA = "check cable and device (rs-enumerate-devices -s, ls /dev/v4l/by-id); end other programs"


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 0 where nothing must be mended, and 1 otherwise."""
    try:
        tyro.cli(doctor, prog="dexloop doctor", args=list(arguments))
    except DexloopError as error:
        say(f"error: {error}")
        return 1
    return 0


def doctor(config: Path | None = None, simulate_hardware: bool = False, task: str = "cup") -> None:
    """Check this machine, or with --config a robot's computer and its devices; nothing moves. Says what to mend.

    Args:
        config: The TOML file that describes the robot; docs/robot.example.toml has every key.
        simulate_hardware: Check simulated devices in place of those of the file.
        task: Whose start pose is checked, where the file has none.
    """
    if config is None:
        if simulate_hardware:
            raise DexloopError("--simulate-hardware is for --config FILE")
        findings = [*examine(Path.cwd())]
    else:
        if task not in task_names():
            raise unknown("--task", task, task_names())
        findings = examine_robot(config, load_task(task), Path.cwd(), simulated=simulate_hardware)
    tell(findings)


def examine_robot(path: Path, task: Task, directory: Path, *, simulated: bool = False) -> list[Finding]:
    """Every check of the robot that ``path`` describes; directory: where episodes will be written.

    simulated: of its simulated devices.
    """
    findings = [check_python()]
    try:
        file = read_robot(path)
        config = hardware_config(file, task)
    except DexloopError as error:
        return [*findings, Finding("robot file", False, str(error), "docs/robot.example.toml has every key")]
    findings += [
        Finding("robot file", True, os.fspath(path)),
        checks.check_hour(file, directory),
        checks.check_speeds(file, simulated=simulated),
        checks.check_start(config, file),
        checks.check_hand_calibration(file, simulated=simulated),
    ]
    if not simulated:
        return [*findings, *examine_devices(file, config)]
    if file.cameras:
        # Only simulated cameras are rendered.
        findings.append(check_rendering())
        if not findings[-1].ok:
            file = replace(file, cameras={})
    try:
        world = SimulatedHardware(file, config, SimConfig(task=task.name))
    except DexloopError as error:
        return [*findings, Finding("simulated hardware", False, str(error), "correct the section that it names")]
    with contextlib.closing(world):
        return [*findings, *examine_devices(world.file, config, world.cameras)]


def examine_devices(
    file: RobotFile, config: HardwareConfig, simulated: Sequence[KnownCamera] | None = None
) -> list[Finding]:
    """Connect to each device by itself, so that one that is off hides no other; simulated: cameras that are open."""
    findings: list[Finding] = []
    with contextlib.ExitStack() as opened:
        arm = _open_arm(file, opened, findings)
        if arm is not None:
            findings += checks.attempt("arm", lambda: _of_arm(arm, file, simulated=simulated is not None), _ARM)
        hand = _open_hand(file, arm, opened, findings)
        if hand is not None:
            findings += checks.attempt("hand", lambda: checks.check_hand_state(hand, file), _HAND)
        if arm is not None and hand is not None:
            findings += checks.attempt(
                "mounting",
                lambda: [checks.check_mounting(config, arm.state().joints, hand.state().fingers)],
                "see the lines about arm and hand",
            )
        for camera in simulated or ():
            findings += _of_camera(camera, file.cameras[camera.name], config, file.control.hz)
    if simulated is None:
        for name, section in file.cameras.items():
            findings += _examine_camera(name, section, config, file.control.hz)
    return findings


def _open_arm(file: RobotFile, opened: contextlib.ExitStack, findings: list[Finding]) -> RealmanArm | None:
    arm = file.arm
    try:
        found = RealmanArm(arm.host, arm.port, arm.push_port, period=arm.period, stale=file.stale)
    except DexloopError as error:
        findings.append(Finding("arm", False, str(error), _ARM))
        return None
    opened.callback(found.close)
    findings.append(Finding("arm", True, f"answers at {arm.host}:{arm.port}"))
    return found


def _open_hand(
    file: RobotFile, arm: RealmanArm | None, opened: contextlib.ExitStack, findings: list[Finding]
) -> Hand | None:
    section = file.hand
    at = section.device or (f"{section.host}:{section.port}" if section.host else "the arm's end")
    if arm is None and section.transport == "arm-relay":
        findings.append(Finding("hand", False, "hangs on the arm, which does not answer", "mend the arm first"))
        return None
    try:
        # Only a relayed hand needs the arm.
        hand = open_hand(section, cast(RealmanArm, arm))
        opened.callback(hand.close)
        hand.state()
    except DexloopError as error:
        findings.append(Finding("hand", False, str(error), _HAND))
        return None
    findings.append(Finding("hand", True, f"answers at {at}, by {section.transport}"))
    return hand


def _of_arm(arm: RealmanArm, file: RobotFile, *, simulated: bool) -> list[Finding]:
    return [
        *checks.check_arm_state(arm, file.stale),
        checks.check_joints(arm.state().joints, file.safety.joint_range),
        checks.check_arm_limits(arm, file.safety),
        checks.check_payload(arm, file.arm.payload, simulated=simulated),
        *checks.check_clocks(arm, file.stale, file.safety.overrun),
    ]


def _examine_camera(name: str, section: CameraSection, config: HardwareConfig, hz: float) -> list[Finding]:
    driver = section.driver
    try:
        camera = open_realsense(driver) if isinstance(driver, RealSenseConfig) else open_uvc(driver)
    except DexloopError as error:
        return [Finding(f"camera {name}", False, f"{checks.camera_device(section)}: {error}", _CAMERA)]
    with contextlib.closing(camera):
        return [
            Finding(f"camera {name}", True, f"{checks.camera_device(section)} sends pictures"),
            *_of_camera(camera, section, config, hz),
        ]


def _of_camera(camera: KnownCamera, section: CameraSection, config: HardwareConfig, hz: float) -> list[Finding]:
    name = f"camera {camera.name}"
    findings = checks.attempt(name, lambda: checks.check_camera(camera, section, hz), _CAMERA)
    if section.hand_view:
        findings += checks.attempt(name, lambda: [checks.check_hand_view(camera, section, config)], _CAMERA)
    return findings
