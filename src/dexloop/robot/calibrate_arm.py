"""Steps of a guided calibration that measure the arm: where its base stands, and its home."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from dexloop.robot.calibration_bench import Bench, Change, Person
from dexloop.robot.devices import Array
from dexloop.robot.mounting_fit import Touch, fit_mounting
from dexloop.robot.open_robot import hardware_config
from dexloop.robot.placing import index_tip, start_problems
from dexloop.robot.plant import tick_for

_REACH = 2.0  # marks farther away than this are slips of the hand [m]
_AGREE = 0.01  # touches that disagree by more are asked for again [m]
_RESTS = math.radians(0.1)  # an arm that moves more between two looks is still being guided [rad]
_LOOK_SECONDS = 0.3


def measure_base(bench: Bench, person: Person) -> list[Change]:
    """Height of the arm's base by touching the table; its place by touching marks; its turn by two or more."""
    person.tell("\nBase: where the arm stands, by touching the table with the tip of the index finger.")
    person.tell(
        "Stretch the index finger, guide the arm by hand until its tip rests on the table, and let go. On a mark whose "
        "place you know, x forward and y to the left in metres, type both, as in: 0.40 0.02"
    )
    old = bench.file.arm.mounting
    while True:
        touches: list[Touch] = []
        while True:
            options = "Enter: the table only; skip" if not touches else "done: no more"
            answer = person.ask(f"Touch {len(touches) + 1}: x y of the mark ({options}) ").strip().lower()
            if answer == "skip" and not touches:
                return []
            if answer == "done" and touches:
                break
            mark = _mark(answer, person)
            if mark is None and (answer or touches):
                continue
            joints = _resting(bench)
            if joints is None:
                person.tell("the arm still moves; let it rest, and again")
                continue
            config = hardware_config(bench.file, bench.task)
            touches.append(Touch(index_tip(config, joints, bench.fingers()), mark))
            if not answer:
                break
        fit = fit_mounting(old, touches)
        new = fit.mounting
        person.tell(f"base_position: {_row(old.position)} -> {_row(new.position)} m")
        person.tell(f"base_rotation: {_row(np.degrees(old.rotation))} -> {_row(np.degrees(new.rotation))} degrees")
        if fit.worst > _AGREE:
            person.tell(f"touches disagree by {1e3 * fit.worst:.0f} mm: a mark or a touch is wrong; again")
        elif max(map(abs, new.position)) > _REACH:
            person.tell(f"no arm stands {_REACH:g} m away; again")
        elif person.choose(f"Touches agree to {1e3 * fit.worst:.1f} mm. Take these values?", ("yes", "no")) == "yes":
            break
    bench.file = replace(bench.file, arm=replace(bench.file.arm, mounting=new))
    changes = [Change("arm", "base_position", f"[{_row(new.position, ', ')}]", "m")]
    if sum(touch.mark is not None for touch in touches) > 1:
        changes.append(Change("arm", "base_rotation", f"[{_row(np.degrees(new.rotation), ', ')}]", "degrees"))
    return changes


def measure_home(bench: Bench, person: Person) -> list[Change]:
    """The pose that the arm was guided to, as the one in which episodes start."""
    person.tell("\nHome: the pose in which episodes start.")
    old = bench.file.reset.home
    said = f"{_row(np.degrees(old), digits=2)} degrees" if old is not None else "the task's"
    while True:
        answer = person.choose("Guide the arm by hand to its home and let go, then press Enter; or skip", ("", "skip"))
        if answer == "skip":
            return []
        joints = _resting(bench)
        if joints is None:
            person.tell("the arm still moves; let it rest, and again")
            continue
        degrees = np.round(np.degrees(joints), 2)
        home = tuple(np.radians(degrees).tolist())
        file = replace(bench.file, reset=replace(bench.file.reset, home=home))
        person.tell(f"home: {said} -> {_row(degrees, digits=2)} degrees")
        tick = tick_for(file.control.hz, file.arm.period)
        problems = start_problems(hardware_config(file, bench.task), file.safety, tick)
        if problems:
            person.tell(f"no episode can start there: {'; '.join(problems)}; again")
        elif person.choose("Take these values?", ("yes", "no")) == "yes":
            break
    bench.file = file
    return [Change("reset", "home", f"[{_row(degrees, ', ', 2)}]", "degrees")]


def _resting(bench: Bench) -> Array | None:
    """The joints (6,) [rad] of an arm at rest, None of one that moves."""
    before = bench.arm.state().joints
    time.sleep(_LOOK_SECONDS)
    after = bench.arm.state().joints
    return after if float(np.abs(after - before).max()) < _RESTS else None


def _mark(answer: str, person: Person) -> tuple[float, float] | None:
    """The two numbers of an answer; None for another, which is said to be wrong, or for none."""
    if not answer:
        return None
    try:
        x, y = (float(word) for word in answer.replace(",", " ").split())
    except ValueError:
        person.tell(f"{answer!r} is not two numbers; again")
        return None
    if not max(abs(x), abs(y)) <= _REACH:
        person.tell(f"{answer!r} is farther than {_REACH:g} m; again")
        return None
    return x, y


def _row(values: ArrayLike, between: str = "  ", digits: int = 4) -> str:
    return between.join(f"{value:.{digits}f}" for value in np.asarray(values, np.float64))
