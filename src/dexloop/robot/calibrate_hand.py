"""Steps of a guided calibration that measure the hand: its fingers' ends, and its forces at rest."""

from __future__ import annotations

import time
from dataclasses import replace

from dexloop.errors import DexloopError
from dexloop.robot.calibration_bench import Bench, Change, Person
from dexloop.robot.checks import REST_FORCE
from dexloop.robot.drivers.inspire.calibration import Calibration
from dexloop.robot.drivers.inspire.hand import InspireHand
from dexloop.robot.hand_calibration import angles, check_calibration, drive_to_ends, forces
from dexloop.sim.hand import FINGER_NAMES


def measure_fingers(bench: Bench, person: Person) -> list[Change]:
    """ANGLE_ACT of every finger, open and closed."""
    hand, old = bench.hand, bench.file.hand.calibration
    person.tell("\nFingers: the readings of each at flat and at fist.")
    if not isinstance(hand, InspireHand):
        person.tell("a hand that the arm relays has no such values in the file; skipped")
        return []
    while True:
        how = person.choose(
            "move: dexloop opens and closes the fingers slowly; read: you bring them there; skip",
            ("move", "read", "skip"),
        )
        if how == "skip":
            return []
        if how == "read":
            open_, closed = _read_ends(hand, person)
        else:
            m = bench.motion
            person.tell(
                f"The fingers will open, close and open again at {100 * m.speed:.0f} % of their speed, stopping at "
                f"{m.force:g} N. Take everything out of the hand and keep your fingers away."
            )
            if person.choose("May the fingers move now?", ("yes", "no")) == "no":
                continue
            found = drive_to_ends(hand, m)
            open_, closed = found.open, found.closed
        for name, *values in zip(FINGER_NAMES, old.open, open_, old.closed, closed, strict=True):
            person.tell(f"{name}: open {values[0]} -> {values[1]}, closed {values[2]} -> {values[3]} [ANGLE_ACT]")
        problem = _doubt(open_, closed)
        if problem:
            person.tell(f"this cannot be right: {problem}; again")
        elif person.choose("Take these values?", ("yes", "no")) == "yes":
            break
    bench.file = replace(bench.file, hand=replace(bench.file.hand, calibration=Calibration(open_, closed)))
    return [
        Change("hand", key, str(list(values)), "ANGLE_ACT") for key, values in (("open", open_), ("closed", closed))
    ]


def _doubt(open_: tuple[int, ...], closed: tuple[int, ...]) -> str | None:
    """Why two readings are no calibration."""
    try:
        return check_calibration(Calibration(open_, closed), measured=False)
    except DexloopError as error:
        return str(error)


def _read_ends(hand: InspireHand, person: Person) -> tuple[tuple[int, ...], tuple[int, ...]]:
    person.ask("Bring every finger flat, the thumb beside the palm, then press Enter. ")
    open_ = angles(hand)
    person.ask("Bring every finger to a fist, the thumb bent and turned before the palm, then press Enter. ")
    return open_, angles(hand)


def measure_forces(bench: Bench, person: Person) -> list[Change]:
    """What each finger reports when nothing touches it; the zero is the hand's, so the file has no place for it."""
    person.tell("\nForces: what the fingers report when nothing touches them.")
    while True:
        if person.choose("Let nothing touch the fingers, then press Enter; or skip", ("", "skip")) == "skip":
            return []
        mean, spread = forces(bench.hand)
        for name, force, deviation in zip(FINGER_NAMES, mean, spread, strict=True):
            person.tell(f"{name}: {force:+.2f} N, deviation {deviation:.2f} N; 0 wanted")
        off = [name for name, force in zip(FINGER_NAMES, mean, strict=True) if abs(force) > REST_FORCE]
        if not off:
            return []
        person.tell(f"{', '.join(off)}: more than {REST_FORCE:g} N. The zero is kept in the hand")
        if not isinstance(bench.hand, InspireHand):
            person.tell("the arm does not relay its setting: calibrate the force sensors with the maker's program")
            return []
        person.tell(
            f"The hand can set it: it opens and bends its fingers by itself, at a speed of its own, for up to "
            f"{bench.motion.zeroing:g} s. Take everything out of the hand and keep your fingers away."
        )
        if person.choose("May the hand do that now?", ("yes", "no")) == "no":
            return []
        bench.hand.zero_forces()
        time.sleep(bench.motion.zeroing)
