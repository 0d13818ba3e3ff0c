"""What a robot must not do, and which measured states are faults: limits with units, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.limits import MotionLimits
from dexloop.robot.plant import PlantState, Setpoint
from dexloop.sim.hand import FINGER_NAMES
from dexloop.sim.kinematics import JOINT_LIMITS

_FINGERS = len(FINGER_NAMES)
# Fields of more than one number, and how many.
_SIZES = {"joint_range": len(JOINT_LIMITS), "workspace_low": 3, "workspace_high": 3, "chest": 7}


@dataclass(frozen=True, slots=True)
class SafetyLimits:
    """Bounds on every setpoint, and what is a fault; ``docs/safety.md`` says how each was tested.

    joint_range [rad]: largest angle of each joint (6,), the maker's by default. joint_speed [rad/s]: of every joint; by
    default 180 degrees/s, beyond which the RM65-B does not respond to setpoints. joint_acceleration [rad/s^2]: of every
    joint, braking included; 600 degrees/s^2 by default, by choice: from full speed to rest in 0.3 s. finger_speed: of
    every finger, in closed fractions per second; 2 by default, that of the actions. finger_acceleration: of every
    finger, in closed fractions per second squared; 40 by default, full speed within a control period's half.

    workspace_low [m], workspace_high [m]: corners of the box (3,) in the world that the end effector stays in; by
    default that of the tasks' servo, which is never exceeded. cone [rad]: how far the tool's axis, along the fingers,
    may turn away from where it pointed at the start of the episode; 60 degrees by default, by choice: the tasks need
    17. singular [m^3]: least manipulability, which is the size of the Jacobian's determinant (Yoshikawa 1985); by
    default a tenth of the tasks' usual, with the wrist 5 degrees from straight. near_singular [m^3]: manipulability
    below which joints slow down, to a tenth of joint_speed at ``singular``; twice that by default.

    chest [m]: a capsule (7,) that stands for the robot's body, two ends and a radius in the world; the default is a
    guess from the cameras' places, so measure yours. clearance [m]: least distance of the arm's links and of the hand
    to chest, base and each other, and of the links to the table; 1 mm by default, since start states of the tasks leave
    2 between forearm and base. hand_clearance [m]: least height of the palm above the table; by default half of the
    millimetre that the servo aims at. finger_clearance [m]: the same of the fingers; 10 mm deep by default, since they
    give way, and the scripted pinch of the cube sends them 8 deep.

    point_speed [m/s]: of the fastest point of arm and hand as the arm carries them, in the middle of links and fingers
    and at the palm's corners; fingers close besides; 0.5 by default, twice the reduced speed of ISO 10218-1.
    contact_speed [m/s]: the same where contact is near; 0.25 by default, the reduced speed of ISO 10218-1.
    contact_height [m]: of the lowest point above the table, below which contact is near; up to twice that, the limit
    rises to point_speed; 0.05 by default, by choice. contact_force [N]: of a finger that closes or opens, above which
    contact is near; 2 by default, by choice. contact_share: of finger_speed that is left above contact_force; 0.3 by
    default, since an RH56 that closes at full speed exceeds its own force limit threefold and more (Tan, Xie & Correll
    2026).

    hurry: an action that begins late in its control period is done faster by at most this factor, and what remains of
    it is not done; 1.5 by default, by choice. watchdog: control periods after the beginning of an action after which,
    without another, the robot brakes to rest; 2 by default, by choice. force [N]: of a finger, above which it backs off
    and does not go further that way in that control period, and the hand is not lowered from there on, which is kept to
    2 mm; 10 by default, as much as an RH56DFX measured at its highest setting has (6.5 to 13; Tan, Xie & Correll 2026).
    back_off: how far it does, as a closed fraction; 0.02 by default, by choice. highest_force [N]: of a finger, beyond
    which the arm brakes, but on its way home, which leads up; 20 by default, twice ``force``. pressing [s]: a fault
    where a finger presses harder for so long; 0.2 by default, as what a finger runs into it presses threefold for a
    moment (the same). highest_temperature [°C]: of a finger, beyond which it is a fault; 65 by default, by choice.
    following [rad]: a fault where a joint is farther than this from its setpoint; 20 degrees by default, by choice.
    frozen [s]: a fault where a camera shows nothing new for so long; 0.5 by default, by choice. overrun [s]: a fault
    where a tick begins so late; 0.25 by default, by choice.
    """

    joint_range: tuple[float, ...] = tuple(JOINT_LIMITS.tolist())
    joint_speed: float = math.radians(180.0)
    joint_acceleration: float = math.radians(600.0)
    finger_speed: float = 2.0
    finger_acceleration: float = 40.0
    workspace_low: tuple[float, ...] = (0.18, -0.38, 0.015)
    workspace_high: tuple[float, ...] = (0.56, 0.25, 0.42)
    cone: float = math.radians(60.0)
    singular: float = 0.0015
    near_singular: float = 0.003
    chest: tuple[float, ...] = (-0.12, 0.10, 0.0, -0.12, 0.10, 0.45, 0.13)
    clearance: float = 0.001
    hand_clearance: float = 0.0005
    finger_clearance: float = -0.010
    point_speed: float = 0.5
    contact_speed: float = 0.25
    contact_height: float = 0.05
    contact_force: float = 2.0
    contact_share: float = 0.3
    hurry: float = 1.5
    watchdog: float = 2.0
    force: float = 10.0
    back_off: float = 0.02
    highest_force: float = 20.0
    pressing: float = 0.2
    highest_temperature: float = 65.0
    following: float = 0.35
    frozen: float = 0.5
    overrun: float = 0.25

    def __post_init__(self) -> None:
        """Raise DexloopError for a value that cannot be meant."""
        for name, size in _SIZES.items():
            values = getattr(self, name)
            if len(values) != size or not all(math.isfinite(v) for v in values):
                raise DexloopError(f"{name} must be {size} finite numbers, got {values}")
        if min(self.joint_range) <= 0.0:
            raise DexloopError(f"joint_range must be positive angles, got {self.joint_range}")
        if any(low >= high for low, high in zip(self.workspace_low, self.workspace_high, strict=True)):
            raise DexloopError(f"the workspace is empty: from {self.workspace_low} to {self.workspace_high}")
        if self.chest[6] < 0.0:
            raise DexloopError(f"chest: its radius must not be negative, got {self.chest[6]}")
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name in _SIZES:
                continue
            if name.endswith("clearance"):
                if not math.isfinite(value):
                    raise DexloopError(f"{name} must be finite, got {value}")
            elif not 0.0 < value < math.inf:
                raise DexloopError(f"{name} must be positive and finite, got {value}")
        for less, more in (("singular", "near_singular"), ("contact_speed", "point_speed"), ("force", "highest_force")):
            if getattr(self, less) > getattr(self, more):
                raise DexloopError(f"{less} must not exceed {more}: {getattr(self, less)} > {getattr(self, more)}")
        if self.contact_share > 1.0:
            raise DexloopError(f"contact_share must be at most 1, got {self.contact_share}")

    def joints(self) -> MotionLimits:
        """Of the arm [rad]."""
        most, six = np.array(self.joint_range), np.ones(len(self.joint_range))
        return MotionLimits(-most, most, six * self.joint_speed, six * self.joint_acceleration)

    def fingers(self) -> MotionLimits:
        """Of the fingers [closed fraction]."""
        six = np.ones(_FINGERS)
        return MotionLimits(0.0 * six, six, six * self.finger_speed, six * self.finger_acceleration)

    def fault_of(self, state: PlantState, setpoint: Setpoint) -> str | None:
        """What is wrong with a state of the robot whose newest setpoint was ``setpoint``; None where nothing is."""
        if state.fault is not None:
            return state.fault
        if not (np.isfinite(state.joints).all() and np.isfinite(state.fingers).all()):
            return "the robot measures angles that are not finite"
        for name, temperature in zip(FINGER_NAMES, state.temperature, strict=True):
            if temperature > self.highest_temperature:
                return f"finger {name} has {temperature:.0f} °C, more than {self.highest_temperature:g}"
        off = np.abs(state.joints - setpoint.joints)
        worst = int(off.argmax())
        if off[worst] > self.following:
            return f"joint {worst + 1} is {math.degrees(off[worst]):.1f} degrees from its setpoint"
        return None
