"""The devices of a robot file without a robot: their simulators, behind real sockets and ptys, around one MuJoCo robot.

The drivers connect to them as to the real ones, and every byte travels. What moves, what the fingers press and what the
cameras see is the same scene; its truth goes to scripted operators and judges past the devices.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.backend import Truth
from dexloop.robot.devices import Array
from dexloop.robot.drivers.inspire import registers
from dexloop.robot.drivers.inspire.calibration import Calibration
from dexloop.robot.hardware_plant import HardwareConfig
from dexloop.robot.robot_file import HandSection, RobotFile
from dexloop.robot.simulators.inspire.model import HandModel
from dexloop.robot.simulators.inspire.pty_server import LineTiming
from dexloop.robot.simulators.inspire.serve_eb90 import serve_eb90
from dexloop.robot.simulators.inspire.serve_rtu import serve_rtu
from dexloop.robot.simulators.inspire.serve_tcp import ModbusTcpHand
from dexloop.robot.simulators.mujoco_cameras import SimulatedCamera, SimulatedCameras, optics
from dexloop.robot.simulators.mujoco_robot import MujocoRobot
from dexloop.robot.simulators.realman import RealmanSimulator
from dexloop.sim.config import SimConfig
from dexloop.sim.state import PRIVILEGED_SIZE, privileged_vector

_FULL = registers.ANGLE_SET.high


class SimulatedHardware:
    """The simulators of what a robot file describes, and the world around them; they end with ``close``.

    file: what it describes, and as an attribute, where the drivers find the simulated devices. config: the robot's
    start and mounting. simulation: task, object's start, saturation and randomisation are read. Raises DexloopError for
    a hand that is mounted otherwise than the simulated one, and for cameras without OpenGL.
    """

    privileged = PRIVILEGED_SIZE

    def __init__(self, file: RobotFile, config: HardwareConfig, simulation: SimConfig) -> None:
        default = HardwareConfig(home=config.home)
        if not math.isclose(config.turn, default.turn) or not np.allclose(config.end_effector, default.end_effector):
            raise DexloopError(
                f"--simulate-hardware: the simulated hand has turn = {math.degrees(default.turn):g} and end_effector = "
                f"{list(default.end_effector)}; [hand] has others"
            )
        with contextlib.ExitStack() as opened:
            views = {name: camera.view for name, camera in file.cameras.items()}
            home, fingers = np.array(config.home), np.array(config.fingers)
            self.robot = MujocoRobot(simulation, config.mounting, views, home, fingers)
            opened.callback(self.robot.close)
            self.hand = HandModel(
                contact=lambda _: self.robot.force(),
                plant=_HandSide(self.robot, file.hand.calibration),
                device=file.hand.id,
                clock=self.robot.clock,
            )
            self.robot.before_each_tick(self.hand.advance)
            self.arm = opened.enter_context(RealmanSimulator(_ArmSide(self.robot), hand=self.hand))
            hand = self._serve_hand(file.hand, opened)
            self.cameras: Sequence[SimulatedCamera] = ()
            if file.cameras:
                eyes = SimulatedCameras(self.robot, {name: optics(section) for name, section in file.cameras.items()})
                opened.callback(eyes.close)
                self.cameras = [SimulatedCamera(name, eyes) for name in file.cameras]
            self.file = replace(
                file, arm=replace(file.arm, host="127.0.0.1", port=self.arm.port, push_port=0), hand=hand
            )
            self._opened = opened.pop_all()
        task = self.robot.task
        self._hold_periods = max(1, math.ceil(task.hold_seconds * file.control.hz - 1e-9))
        self._held = 0

    def truth(self) -> Truth:
        """Success is an object held at the ends of as many control periods as the simulation asks for."""
        state, task = self.robot.state(), self.robot.task
        holding = task.holding(state)
        self._held = self._held + 1 if holding else 0
        privileged = np.clip(privileged_vector(state, task.symmetry), -10.0, 10.0)
        return Truth(privileged, self._held >= self._hold_periods, holding)

    def put_object(self, seed: int) -> None:
        """As a person would, where ``seed`` says."""
        self.robot.put_object(seed)
        self._held = 0

    def close(self) -> None:
        """End every thread; again does nothing."""
        self._opened.close()

    def _serve_hand(self, hand: HandSection, opened: contextlib.ExitStack) -> HandSection:
        """Serve the hand on what it hangs on; where that is."""
        match hand.transport:
            case "eb90":
                return replace(hand, device=opened.enter_context(serve_eb90(self.hand, timing=LineTiming())).path)
            case "modbus-rtu":
                return replace(hand, device=opened.enter_context(serve_rtu(self.hand, timing=LineTiming())).path)
            case "modbus-tcp":
                server = opened.enter_context(ModbusTcpHand(self.hand))
                return replace(hand, host=server.host, port=server.port)
            case "arm-relay":
                return hand


class _ArmSide:
    """The robot as the simulated arm's ``ArmPlant``."""

    def __init__(self, robot: MujocoRobot) -> None:
        self._robot = robot

    def command(self, joints: Array) -> None:
        self._robot.command_joints(joints)

    def joints(self) -> Array:
        return self._robot.joints()


class _HandSide:
    """The robot as the simulated hand's ``HandPlant``: a hand for which the file's calibration is the right one."""

    def __init__(self, robot: MujocoRobot, calibration: Calibration) -> None:
        self._robot = robot
        self._open, self._closed = np.array(calibration.open), np.array(calibration.closed)

    def command(self, fingers: Array) -> None:
        self._robot.command_fingers((_FULL * (1.0 - fingers) - self._open) / (self._closed - self._open))

    def fingers(self) -> Array:
        return 1.0 - (self._open + self._robot.fingers() * (self._closed - self._open)) / _FULL
