"""What a robot must not do, and what of it is noticed: limits with units, and the faults that stop it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.devices import Frame
from dexloop.robot.limits import MotionLimits
from dexloop.robot.plant import PlantState, Setpoint
from dexloop.sim.hand import FINGER_NAMES
from dexloop.sim.kinematics import JOINT_LIMITS
from dexloop.types import BoolArray

_FINGERS = len(FINGER_NAMES)


@dataclass(frozen=True, slots=True)
class SafetyLimits:
    """Bounds on every setpoint, and what is a fault.

    joint_range [rad]: largest angle of each joint (6,), the maker's by default. joint_speed [rad/s]: of every joint;
    the RM65-B does not respond to setpoints beyond 180 degrees/s. joint_acceleration [rad/s^2]: of every joint, braking
    included; 600 degrees/s^2 by default. finger_speed: of every finger, in closed fractions per second.
    finger_acceleration: of every finger, in closed fractions per second squared. hurry: an action that begins late in
    its control period is done faster by at most this factor, and what remains of it is not done. watchdog: control
    periods after the beginning of an action after which, without another, the robot brakes to rest.

    force [N]: of a finger that closes, above which it backs off and does not close further in that control period.
    back_off: how far it does, as a closed fraction. highest_force [N]: of a finger, beyond which it is a fault.
    highest_temperature [°C]: of a finger, beyond which it is a fault. following [rad]: a fault where a joint is farther
    than this from its setpoint. frozen [s]: a fault where a camera shows nothing new for so long. overrun [s]: a fault
    where a tick begins so late.
    """

    joint_range: tuple[float, ...] = tuple(JOINT_LIMITS.tolist())
    joint_speed: float = math.radians(180.0)
    joint_acceleration: float = math.radians(600.0)
    finger_speed: float = 2.0
    finger_acceleration: float = 40.0
    hurry: float = 1.5
    watchdog: float = 2.0
    force: float = 10.0
    back_off: float = 0.02
    highest_force: float = 20.0
    highest_temperature: float = 65.0
    following: float = 0.35
    frozen: float = 0.5
    overrun: float = 0.25

    def __post_init__(self) -> None:
        """Raise DexloopError for a value that cannot be meant."""
        if len(self.joint_range) != len(JOINT_LIMITS) or not all(0.0 < v < math.inf for v in self.joint_range):
            raise DexloopError(f"joint_range must be {len(JOINT_LIMITS)} positive angles, got {self.joint_range}")
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name != "joint_range" and not 0.0 < value < math.inf:
                raise DexloopError(f"{name} must be positive and finite, got {value}")

    def joints(self) -> MotionLimits:
        """Of the arm [rad]."""
        most, six = np.array(self.joint_range), np.ones(len(self.joint_range))
        return MotionLimits(-most, most, six * self.joint_speed, six * self.joint_acceleration)

    def fingers(self) -> MotionLimits:
        """Of the fingers [closed fraction]."""
        six = np.ones(_FINGERS)
        return MotionLimits(0.0 * six, six, six * self.finger_speed, six * self.finger_acceleration)

    def pressing(self, state: PlantState) -> BoolArray:
        """Which fingers (6,) close harder than they should; a force that nobody measures is none."""
        return state.force > self.force

    def fault_of(self, state: PlantState, setpoint: Setpoint) -> str | None:
        """What is wrong with a state of the robot whose newest setpoint was ``setpoint``; None where nothing is."""
        if state.fault is not None:
            return state.fault
        if not (np.isfinite(state.joints).all() and np.isfinite(state.fingers).all()):
            return "the robot measures angles that are not finite"
        for name, force, temperature in zip(FINGER_NAMES, state.force, state.temperature, strict=True):
            if abs(force) > self.highest_force:
                return f"finger {name} presses with {abs(force):.1f} N, more than {self.highest_force:g}"
            if temperature > self.highest_temperature:
                return f"finger {name} has {temperature:.0f} °C, more than {self.highest_temperature:g}"
        off = np.abs(state.joints - setpoint.joints)
        worst = int(off.argmax())
        if off[worst] > self.following:
            return f"joint {worst + 1} is {math.degrees(off[worst]):.1f} degrees from its setpoint"
        return None


class CameraWatch:
    """Notices cameras whose counter stands still for longer than ``frozen`` [s]."""

    def __init__(self, frozen: float) -> None:
        self._frozen = frozen
        self._seen: dict[str, tuple[int, float]] = {}

    def forget(self) -> None:
        """Nobody looked for a while."""
        self._seen.clear()

    def fault_of(self, frames: Mapping[str, Frame], now: float) -> str | None:
        """The first camera that stands still; ``now``: monotonic time [s]."""
        for name, frame in frames.items():
            counter, since = self._seen.get(name, (-1, now))
            if counter != frame.counter:
                self._seen[name] = (frame.counter, now)
            elif now - since > self._frozen:
                return f"camera {name} shows nothing new for {now - since:.1f} s"
        return None
