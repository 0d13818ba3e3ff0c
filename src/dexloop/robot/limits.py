"""Setpoints that a machine can follow: bounded position, speed and acceleration, and always able to brake in time.

Runs at the controller's tick rate on joints [rad] or on closed fractions of fingers; every axis is on its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dexloop.robot.devices import Array


@dataclass(frozen=True, slots=True)
class MotionLimits:
    """Per axis (N,), in units u: low, high [u]; speed [u/s]; acceleration [u/s^2], also that of braking."""

    low: Array
    high: Array
    speed: Array
    acceleration: Array

    def stopping_distance(self) -> Array:
        """How far (N,) an axis goes at most from the moment it is told to rest [u]."""
        return self.speed**2 / (2.0 * self.acceleration)

    def stopping_time(self) -> float:
        """How long the slowest axis to brake takes at most to rest [s]."""
        return float((self.speed / self.acceleration).max())


@dataclass(frozen=True, slots=True)
class MotionState:
    """Where every axis is, position (N,) [u], and how fast, speed (N,) [u/s]."""

    position: Array
    speed: Array


class MotionLimiter:
    """Follows a moving reference within limits; ``period``: between two setpoints [s].

    After every setpoint p with speed v, p + v^2 / (2 a) lies within the position limits, so that braking with a never
    leaves them: a step of speed v is allowed where v * period + v^2 / (2 a) fits into the way that is left, and after
    it braking by a * period again satisfies the same bound.
    """

    def __init__(self, limits: MotionLimits, period: float, start: Array) -> None:
        self.limits = limits
        self._period = period
        self.position = np.clip(start, limits.low, limits.high)
        self.speed = np.zeros_like(self.position)

    def follow(self, reference: Array, reference_speed: Array, share: float = 1.0) -> Array:
        """The next setpoint (N,) towards a reference that moves.

        reference (N,): where it is one period from now [u]; reference_speed (N,) [u/s]; share: of the speed limits, in
        (0, 1]; who is faster brakes.
        """
        error = reference - (self.position + reference_speed * self._period)
        # As fast as still allows to come to rest relative to the reference when it is reached.
        closing = np.minimum(np.abs(error) / self._period, self._brakeable(np.abs(error)))
        highest = share * self.limits.speed
        return self.move(np.clip(reference_speed + np.sign(error) * closing, -highest, highest))

    def brake(self) -> Array:
        """The next setpoint (N,) on the shortest way to rest."""
        return self.move(np.zeros_like(self.speed))

    def move(self, speed: Array) -> Array:
        """The next setpoint (N,), as near to these speeds (N,) [u/s] as the limits allow."""
        limits, period = self.limits, self._period
        change = limits.acceleration * period
        speed = np.clip(speed, self.speed - change, self.speed + change)
        speed = np.clip(speed, -limits.speed, limits.speed)
        speed = np.clip(
            speed, -self._brakeable(self.position - limits.low), self._brakeable(limits.high - self.position)
        )
        # Rounding must not carry an axis past its end.
        position = np.clip(self.position + speed * period, limits.low, limits.high)
        self.position, self.speed = position, speed
        return position.copy()

    def braking(self) -> Array:
        """The setpoints (K, N) that ``brake`` would give from here on until every axis rests; K is 0 at rest."""
        change = self.limits.acceleration * self._period
        size = np.abs(self.speed)
        ticks = int(np.ceil(float((size / change).max()) - 1e-9)) - 1
        if ticks <= 0:
            return np.empty((0, len(size)))
        slowing = np.maximum(size - np.arange(1, ticks + 1)[:, None] * change, 0.0)
        way = self.position + np.sign(self.speed) * self._period * np.cumsum(slowing, axis=0)
        return np.clip(way, self.limits.low, self.limits.high)

    @property
    def stop(self) -> Array:
        """Where (N,) ``brake`` comes to rest from here [u]."""
        way = self.braking()
        return way[-1] if len(way) else self.position

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves any more."""
        return not self.speed.any()

    @property
    def state(self) -> MotionState:
        """To go back to, where a step turns out to be one too far."""
        return MotionState(self.position, self.speed)

    @state.setter
    def state(self, state: MotionState) -> None:
        self.position, self.speed = state.position, state.speed

    def _brakeable(self, distance: Array) -> Array:
        """The highest speed (N,) from which one step and then braking take no more than ``distance`` (N,) [u]."""
        a, t = self.limits.acceleration, self._period
        return a * (np.sqrt(t * t + 2.0 * np.maximum(distance, 0.0) / a) - t)
