"""What moves behind the simulated controller: joints and fingers that follow targets."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from dexloop.robot.devices import Array
from dexloop.sim.kinematics import JOINT_SPEEDS


class ArmPlant(Protocol):
    """Six joints that follow targets, in their own time."""

    def command(self, joints: Array) -> None:
        """Follow this target (6,) [rad]."""
        ...

    def joints(self) -> Array:
        """Where the joints (6,) are now [rad]."""
        ...


class FirstOrderPlant:
    """Values that approach their targets as a first-order lag does, at a limited speed: dx = clip((target - x) / lag).

    Solved exactly from one call to the next: a straight way at full speed until the rest is ``speed * lag``, then an
    exponential approach.
    """

    def __init__(self, start: Array, speed: Array, lag: float, clock: Callable[[], float] = time.monotonic) -> None:
        """start: values (n,) in any unit; speed: highest speeds (n,) in that unit per second; lag: [s]."""
        self._values, self._target = start.copy(), start.copy()
        self._speed, self._lag, self._clock = speed.copy(), lag, clock
        self._seconds = clock()

    def command(self, target: Array) -> None:
        """Follow this target (n,)."""
        self._advance()
        self._target = target.copy()

    def values(self) -> Array:
        """Where the values (n,) are now."""
        self._advance()
        return self._values.copy()

    def limit(self, speed: Array) -> None:
        """Set the highest speeds (n,)."""
        self._advance()
        self._speed = speed.copy()

    def _advance(self) -> None:
        now = self._clock()
        seconds, self._seconds = now - self._seconds, now
        rest = np.abs(self._target - self._values)
        straight = np.clip((rest - self._speed * self._lag) / self._speed, 0.0, seconds)
        rest = (rest - self._speed * straight) * np.exp(-(seconds - straight) / self._lag)
        self._values = self._target + np.sign(self._values - self._target) * rest


class KinematicPlant:
    """An ``ArmPlant`` without masses: every joint follows at its speed limit and with a lag."""

    def __init__(
        self, joints: Array | None = None, *, lag: float = 0.03, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """joints: where the arm starts (6,) [rad], zeros by default; lag: time constant [s]."""
        self._plant = FirstOrderPlant(np.zeros(6) if joints is None else joints, JOINT_SPEEDS, lag, clock)

    def command(self, joints: Array) -> None:
        self._plant.command(joints)

    def joints(self) -> Array:
        return self._plant.values()
