"""Measuring where a hand's fingers are open and closed, and what they report at rest."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from dexloop.robot.devices import Array, DeviceError, Hand
from dexloop.robot.drivers.inspire import registers
from dexloop.robot.drivers.inspire.calibration import HOLD, Calibration
from dexloop.robot.drivers.inspire.hand import InspireHand
from dexloop.sim.hand import FINGER_NAMES

LEAST_STROKE = 300
"""ANGLE_ACT steps between open and closed below which a reading is taken for a slip, by choice."""
_GROUPS = ((0, 1, 2, 3), (4,), (5,))
"""Fingers that move together: the thumb apart, so that it does not meet the others."""
_STILL = 2  # ANGLE_ACT steps that a finger at rest may flicker
_READINGS = 20
_TRIES = 3


@dataclass(frozen=True, slots=True)
class FingerMotion:
    """How fingers are sent to their ends. speed: share of the hand's highest. force [N]: at which the hand stops one.
    begin [s]: until a finger that does not move counts as arrived. still [s]: without motion, after which it counts.
    longest [s]: of one way. zeroing [s]: for how long the hand is left alone while it sets its force zero by itself."""

    speed: float = 0.15
    force: float = 1.0
    begin: float = 0.5
    still: float = 0.5
    longest: float = 20.0
    zeroing: float = 20.0


def check_calibration(calibration: Calibration, *, measured: bool = True) -> str | None:
    """Why a calibration is doubtful, None where it is not; measured: whether the factory's scale is doubtful too."""
    if measured and calibration == Calibration():
        return "[hand] open and closed are the factory's scale, not measured"
    for name, open_, closed in zip(FINGER_NAMES, calibration.open, calibration.closed, strict=True):
        if open_ - closed < LEAST_STROKE:
            return f"{name} is open at {open_} and closed at {closed}: open must be at least {LEAST_STROKE} higher"
    return None


def angles(hand: InspireHand) -> tuple[int, ...]:
    """The median of some readings of ANGLE_ACT, a finger each (6,); raises DeviceError for a hand with an error."""
    readings = [hand.reading() for _ in range(_READINGS)]
    if readings[-1].fault:
        raise DeviceError(f"the hand reports {readings[-1].fault}")
    return tuple(round(float(value)) for value in np.median([reading.angle for reading in readings], axis=0))


def forces(hand: Hand, seconds: float = 1.0) -> tuple[Array, Array]:
    """Mean and standard deviation (6,) [N] of what the fingers report for this time [s]."""
    end, found = time.monotonic() + seconds, list[Array]()
    while time.monotonic() < end or len(found) < 2:
        found.append(hand.state().force)
    return np.mean(found, axis=0), np.std(found, axis=0)


def drive_to_ends(hand: InspireHand, motion: FingerMotion) -> Calibration:
    """Open all fingers, then close and open them group by group, and read both ends; they move.

    hand: on the factory's scale, so that its fractions are those of the whole stroke. However this ends, the fingers
    rest where they are. Raises DeviceError for a finger with an error, or one that does not come to rest.
    """
    try:
        _go(hand, np.zeros(registers.FINGERS), motion)
        open_, closed = angles(hand), list[int]([0] * registers.FINGERS)
        for group in _GROUPS:
            target = np.full(registers.FINGERS, HOLD)
            target[list(group)] = 1.0
            _go(hand, target, motion)
            for finger, angle in enumerate(angles(hand)):
                if finger in group:
                    closed[finger] = angle
            target[list(group)] = 0.0
            _go(hand, target, motion)
    except BaseException:
        rest(hand, motion)
        raise
    return Calibration(open_, tuple(closed))


def rest(hand: InspireHand, motion: FingerMotion) -> None:
    """Hold the fingers where they are now; a hand that cannot be reached is left alone."""
    for _ in range(_TRIES):
        try:
            here = np.array(hand.reading().angle) / registers.ANGLE_SET.high
            _command(hand, 1.0 - here, motion)
            return
        except DeviceError:
            # Whoever was interrupted in the middle of an exchange finds half an answer on the wire.
            continue


def _go(hand: InspireHand, target: Array, motion: FingerMotion) -> None:
    _command(hand, target, motion)
    began = moved = time.monotonic()
    here = hand.reading().angle
    while True:
        reading, now = hand.reading(), time.monotonic()
        if reading.fault:
            raise DeviceError(f"the hand reports {reading.fault}")
        if max(abs(a - b) for a, b in zip(reading.angle, here, strict=True)) > _STILL:
            here, moved = reading.angle, now
        if now - began > motion.begin and now - moved > motion.still:
            return
        if now - began > motion.longest:
            raise DeviceError(f"the fingers do not come to rest within {motion.longest:g} s")
        time.sleep(hand.period)


def _command(hand: InspireHand, target: Array, motion: FingerMotion) -> None:
    six = np.ones(registers.FINGERS)
    hand.command(target, motion.speed * six, motion.force * six)
