"""The file that describes a real robot: where its devices are, how they are mounted, and how fast it may move.

Angles are in degrees there, as on the arm's own pages and pendant; dexloop's are radians. docs/robot.example.toml has
every key with its unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.camera_sections import CameraSection, read_cameras
from dexloop.robot.drivers.inspire import registers
from dexloop.robot.drivers.inspire.calibration import Calibration
from dexloop.robot.drivers.realman.protocol import ETHERNET_PERIOD
from dexloop.robot.hardware_plant import HardwareConfig
from dexloop.robot.safety import SafetyLimits
from dexloop.robot.toml_section import Section, read_toml
from dexloop.sim.control import ActionForm, ControlLimits
from dexloop.sim.kinematics import JOINT_LIMITS
from dexloop.sim.scene import Mounting

Transport = Literal["eb90", "modbus-rtu", "modbus-tcp", "arm-relay"]
TRANSPORTS: tuple[Transport, ...] = ("eb90", "modbus-rtu", "modbus-tcp", "arm-relay")

_SIX = 6
_REACH = 2.0
# What an RM65-B may carry [kg].
_MOST_CARRIED = 5.0
# Nobody waits for the thread that asks the hand, so that it may ask for longer than a control loop could [s].
_EXCHANGE = 0.2
# Slower fingers press less beyond the force at which they stop, and at full speed that is a multiple of it.
_FINGER_SPEED, _FINGER_FORCE = 0.3, 3.0
# Without these keys of [safety] a robot moves at full speed, which nobody shall have chosen by leaving a section out.
_SPEEDS = ("joint_speed", "point_speed", "contact_speed", "finger_speed")
# What a number in [safety] is there, and dexloop's unit over it: key: (unit, lowest, highest, scale).
_SAFETY: Mapping[str, tuple[str, float, float, float]] = {
    "joint_speed": ("degrees/s", 1.0, 180.0, math.pi / 180.0),
    "joint_acceleration": ("degrees/s^2", 10.0, 600.0, math.pi / 180.0),
    "finger_speed": ("closed fractions/s", 0.05, 5.0, 1.0),
    "finger_acceleration": ("closed fractions/s^2", 0.5, 100.0, 1.0),
    "cone": ("degrees", 5.0, 120.0, math.pi / 180.0),
    "singular": ("m^3", 1e-4, 0.01, 1.0),
    "near_singular": ("m^3", 1e-4, 0.02, 1.0),
    "clearance": ("m", 0.0, 0.1, 1.0),
    "hand_clearance": ("m", -0.02, 0.1, 1.0),
    "finger_clearance": ("m", -0.03, 0.1, 1.0),
    "point_speed": ("m/s", 0.02, 1.0, 1.0),
    "contact_speed": ("m/s", 0.01, 1.0, 1.0),
    "contact_height": ("m", 0.001, 0.3, 1.0),
    "contact_force": ("N", 0.2, 15.0, 1.0),
    "contact_share": ("of finger_speed", 0.05, 1.0, 1.0),
    "hurry": ("", 1.0, 2.0, 1.0),
    "watchdog": ("control periods", 1.0, 10.0, 1.0),
    "force": ("N", 0.5, 15.0, 1.0),
    "back_off": ("closed fractions", 0.001, 0.2, 1.0),
    "highest_force": ("N", 1.0, 40.0, 1.0),
    "pressing": ("s", 0.02, 1.0, 1.0),
    "highest_temperature": ("degrees Celsius", 30.0, 80.0, 1.0),
    "following": ("degrees", 1.0, 45.0, math.pi / 180.0),
    "frozen": ("s", 0.1, 5.0, 1.0),
    "overrun": ("s", 0.05, 5.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class ArmSection:
    """host, port: of the arm's controller. push_port: UDP port of this machine for its state, 0 for any free one.
    period: shortest time between two targets [s]. payload: what hangs on the flange [kg], None where nobody said.
    mounting: of its base in the world."""

    host: str
    port: int
    push_port: int
    period: float
    payload: float | None
    mounting: Mounting


@dataclass(frozen=True, slots=True)
class HandSection:
    """transport: what the hand hangs on. device: serial port of eb90 and modbus-rtu. host, port: of modbus-tcp.
    id: the hand's ID register. follow, opened: see ``RelayedHand``, of arm-relay. calibration: of its fingers, but for
    arm-relay. timeout: of one exchange [s]. speed: highest, as a share of the hand's. force [N]: at which the hand
    itself stops a finger. end_effector (3,) [m]: between palm, fingers and thumb, in the hand's frame. turn [rad]: of
    the hand on the flange.
    """

    transport: Transport
    device: str
    host: str
    port: int
    id: int
    follow: bool
    opened: int
    calibration: Calibration
    timeout: float
    speed: float
    force: float
    end_effector: tuple[float, ...]
    turn: float


@dataclass(frozen=True, slots=True)
class ControlSection:
    """hz: control rate [Hz]. action: form of actions. limits: of commanded motion."""

    hz: float
    action: ActionForm
    limits: ControlLimits


@dataclass(frozen=True, slots=True)
class ResetSection:
    """home (6,) [rad], fingers (6,): where episodes start, None for the task's start. speed [rad/s], finger_speed
    [closed fraction/s]: on the way there. retreat, clearance: see ``HardwareConfig``. confirm: whether a person says
    that the object is back."""

    home: tuple[float, ...] | None
    fingers: tuple[float, ...] | None
    speed: float
    finger_speed: float
    retreat: tuple[float, ...]
    clearance: float
    confirm: bool


@dataclass(frozen=True, slots=True)
class RobotFile:
    """The contents of the file, checked. stale [s]: age at which what a device says is a fault.

    unlimited: keys of speeds in [safety] that the file does not give, which are full speed then.
    """

    arm: ArmSection
    hand: HandSection
    cameras: Mapping[str, CameraSection]
    control: ControlSection
    safety: SafetyLimits
    stale: float
    reset: ResetSection
    unlimited: tuple[str, ...] = ()

    def check_speeds(self) -> None:
        """Raise DexloopError where the file leaves out a speed: a real robot moves only as fast as somebody wrote."""
        if self.unlimited:
            raise DexloopError(
                f"[safety] gives no {', '.join(self.unlimited)}, which would mean full speed; "
                "docs/robot.example.toml has values for the first motion"
            )

    def hardware(self, home: tuple[float, ...], fingers: tuple[float, ...]) -> HardwareConfig:
        """How the devices are driven, with a start for where the file gives none: (6,) [rad] and closed fractions."""
        hand, reset = self.hand, self.reset
        x, y, z = reset.retreat
        return HardwareConfig(
            home=reset.home or home,
            fingers=reset.fingers or fingers,
            control_hz=self.control.hz,
            mounting=self.arm.mounting,
            end_effector=hand.end_effector,
            turn=hand.turn,
            retreat=(x, y, z),
            clearance=reset.clearance,
            finger_speed=hand.speed,
            finger_force=hand.force,
            stale=self.stale,
        )


def read_robot(path: Path) -> RobotFile:
    """The robot that a file describes; raises DexloopError that names the file, the section and the key at fault."""
    whole = Section(str(path), "", read_toml(path))
    workspace = whole.section("workspace", needed=False)
    control = _control(whole.section("control", needed=False), workspace)
    section = whole.section("safety", needed=False)
    unlimited = tuple(key for key in _SPEEDS if not section.has(key))
    safety, stale = _safety(section, workspace)
    robot = RobotFile(
        arm=_arm(whole.section("arm")),
        hand=_hand(whole.section("hand")),
        cameras=read_cameras(whole.section("cameras", needed=False)),
        control=control,
        safety=safety,
        stale=stale,
        reset=_reset(whole.section("reset")),
        unlimited=unlimited,
    )
    whole.end()
    return robot


def _arm(section: Section) -> ArmSection:
    host = section.text("host")
    port = section.integer("port", 1, 65535, 8080)
    push_port = section.integer("push_port", 0, 65535, 8089)
    period = section.number("period", "s", 0.01, 0.1, ETHERNET_PERIOD)
    payload = section.number("payload", "kg", 0.1, _MOST_CARRIED) if section.has("payload") else None
    default = Mounting()
    reach, turn = [_REACH] * 3, [180.0] * 3
    x, y, z = section.numbers("base_position", "m", [-v for v in reach], reach, default.position)
    degrees = section.numbers(
        "base_rotation", "degrees", [-v for v in turn], turn, np.degrees(default.rotation).tolist()
    )
    section.end()
    a, b, c = (math.radians(angle) for angle in degrees)
    return ArmSection(host, port, push_port, period, payload, Mounting((x, y, z), (a, b, c)))


def _hand(section: Section) -> HandSection:
    transport = cast(Transport, section.choice("transport", TRANSPORTS))
    serial, relay = transport in ("eb90", "modbus-rtu"), transport == "arm-relay"
    calibration, defaults = Calibration(), HardwareConfig(home=())
    full = registers.ANGLE_SET.high
    if not relay:
        open_ = section.integers("open", _SIX, 0, full, calibration.open)
        closed = section.integers("closed", _SIX, 0, full, calibration.closed)
        if any(a == b for a, b in zip(open_, closed, strict=True)):
            raise section.refuse("closed has a finger at the value at which it is open")
        calibration = Calibration(open_, closed)
    most = registers.FORCE_SET.high * registers.FORCE_SET.scale
    hand = HandSection(
        transport=transport,
        device=section.text("device") if serial else "",
        host=section.text("host", "192.168.11.210") if transport == "modbus-tcp" else "",
        port=section.integer("port", 1, 65535, 6000) if transport == "modbus-tcp" else 0,
        id=1 if relay else section.integer("id", 1, 254, 1),
        follow=section.flag("follow", True) if relay else True,
        opened=section.integer("opened", 1000, 2000, 1000) if relay else 1000,
        calibration=calibration,
        timeout=_EXCHANGE if relay else section.number("timeout", "s", 0.02, 0.5, _EXCHANGE),
        speed=section.number("speed", "of the highest", 0.05, 1.0, _FINGER_SPEED),
        force=section.number("force", "N", 0.5, math.floor(10.0 * most) / 10.0, _FINGER_FORCE),
        end_effector=section.numbers("end_effector", "m", [-0.3] * 3, [0.3] * 3, defaults.end_effector),
        turn=math.radians(section.number("turn", "degrees", -360.0, 360.0, math.degrees(defaults.turn))),
    )
    section.end()
    return hand


def _control(section: Section, workspace: Section) -> ControlSection:
    default = ControlLimits()
    limits = ControlLimits(
        linear_speed=section.number("linear_speed", "m/s", 0.01, 0.5, default.linear_speed),
        angular_speed=math.radians(
            section.number("angular_speed", "degrees/s", 1.0, 180.0, math.degrees(default.angular_speed))
        ),
        finger_speed=section.number("finger_speed", "closed fractions/s", 0.05, 5.0, default.finger_speed),
        displacement=workspace.number("displacement", "m", 0.01, 0.5, default.displacement),
        rotation=math.radians(workspace.number("rotation", "degrees", 1.0, 120.0, math.degrees(default.rotation))),
    )
    action: ActionForm = "delta" if section.choice("action", ("delta", "absolute"), "delta") == "delta" else "absolute"
    hz = section.number("hz", "Hz", 1.0, 50.0, 10.0)
    section.end()
    return ControlSection(hz, action, limits)


def _safety(section: Section, workspace: Section) -> tuple[SafetyLimits, float]:
    default = SafetyLimits()
    values: dict[str, Any] = {}
    for key, (unit, low, high, scale) in _SAFETY.items():
        values[key] = scale * section.number(key, unit, low, high, getattr(default, key) / scale)
    most = np.degrees(JOINT_LIMITS).round(6).tolist()
    ranges = section.numbers("joint_range", "degrees", [1.0] * _SIX, most, most)
    far = [_REACH] * 3
    near = [-v for v in far]
    values |= {
        "joint_range": tuple(math.radians(angle) for angle in ranges),
        "workspace_low": workspace.numbers("low", "m", near, far, default.workspace_low),
        "workspace_high": workspace.numbers("high", "m", near, far, default.workspace_high),
        "chest": workspace.numbers("chest", "m", [*near, *near, 0.0], [*far, *far, 1.0], default.chest),
    }
    stale = section.number("stale", "s", 0.05, 2.0, 0.3)
    section.end()
    workspace.end()
    try:
        return SafetyLimits(**values), stale
    except DexloopError as error:
        raise section.refuse(f"with [workspace]: {error}") from None


def _reset(section: Section) -> ResetSection:
    defaults = HardwareConfig(home=())
    home = fingers = None
    if section.has("home"):
        most = np.degrees(JOINT_LIMITS).round(6).tolist()
        home = tuple(math.radians(angle) for angle in section.numbers("home", "degrees", [-v for v in most], most))
    if section.has("fingers"):
        fingers = section.numbers("fingers", "closed fractions", [0.0] * _SIX, [1.0] * _SIX)
    reset = ResetSection(
        home=home,
        fingers=fingers,
        speed=math.radians(section.number("speed", "degrees/s", 1.0, 90.0, 20.0)),
        finger_speed=section.number("finger_speed", "closed fractions/s", 0.05, 2.0, 1.0),
        retreat=section.numbers("retreat", "m", [-0.3] * 3, [0.3] * 3, defaults.retreat),
        clearance=section.number("clearance", "m", 0.0, 0.3, defaults.clearance),
        confirm=section.flag("confirm"),
    )
    section.end()
    return reset
