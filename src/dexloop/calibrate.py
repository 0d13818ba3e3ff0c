"""``dexloop calibrate``: measure with a robot's own devices what its file must say, step by step, at a terminal.

Nothing moves but the fingers, and these only after a yes. The old file is never changed; the new one is written at the
end, so that Ctrl-C before that leaves everything as it was.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from numpy.typing import ArrayLike

from dexloop.errors import DexloopError
from dexloop.interruption import STATUS
from dexloop.progress import say
from dexloop.robot.checks import REST_FORCE
from dexloop.robot.devices import Array, Hand
from dexloop.robot.drivers.inspire.calibration import Calibration
from dexloop.robot.drivers.inspire.hand import InspireHand
from dexloop.robot.drivers.realman import RealmanArm
from dexloop.robot.hand_calibration import FingerMotion, angles, check_calibration, drive_to_ends, forces
from dexloop.robot.mounting_fit import Touch, fit_mounting
from dexloop.robot.open_robot import hardware_config, open_hand
from dexloop.robot.placing import index_tip, start_problems
from dexloop.robot.plant import tick_for
from dexloop.robot.robot_file import RobotFile, read_robot
from dexloop.robot.simulated_hardware import SimulatedHardware
from dexloop.robot.toml_edit import with_value, write_new
from dexloop.sim.config import SimConfig
from dexloop.sim.hand import FINGER_NAMES
from dexloop.sim.tasks.base import load_task

Step = Literal["fingers", "forces", "base", "home"]
STEPS: tuple[Step, ...] = ("fingers", "forces", "base", "home")

_REACH = 2.0  # marks farther away than this are slips of the hand [m]
_AGREE = 0.01  # touches that disagree by more are asked for again [m]
_RESTS = math.radians(0.1)  # an arm that moves more between two looks is still being guided [rad]
_LOOK_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Person:
    """Who does what the steps say. ask: shows a question and returns the answer. tell: shows a line."""

    ask: Callable[[str], str]
    tell: Callable[[str], None]

    def choose(self, question: str, options: Sequence[str]) -> str:
        """One of some words; asks until the answer is one."""
        while True:
            answer = self.ask(f"{question} [{' / '.join(option or 'Enter' for option in options)}] ").strip().lower()
            if answer in options:
                return answer
            self.tell(f"{answer!r} is none of the answers; nothing was done")


@dataclass(frozen=True, slots=True)
class Change:
    """A value for the file: text in TOML, and its unit."""

    section: str
    key: str
    value: str
    unit: str


class Bench:
    """The devices that are measured with. file: what is known of them so far. hand: on the factory's scale. motion: of
    its fingers where they are driven."""

    def __init__(self, file: RobotFile, task: str, arm: RealmanArm, hand: Hand, motion: FingerMotion) -> None:
        self.file, self.task, self.arm, self.hand, self.motion = file, load_task(task), arm, hand, motion

    def fingers(self) -> Array:
        """Closed fractions (6,), by the calibration as it is now."""
        if isinstance(self.hand, InspireHand):
            return np.clip(self.file.hand.calibration.fractions(self.hand.reading().angle), 0.0, 1.0)
        return self.hand.state().fingers


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 0 for success, 1 for an error, 130 for Ctrl-C."""
    try:
        tyro.cli(calibrate, prog="dexloop calibrate", args=list(arguments))
    except DexloopError as error:
        say(f"error: {error}")
        return 1
    except EOFError:
        say("error: nobody can answer any more: the terminal is closed; nothing was written")
        return 1
    except KeyboardInterrupt:
        say("interrupted; nothing was written")
        return STATUS
    return 0


def calibrate(
    config: Path,
    out: Path | None = None,
    steps: tuple[Step, ...] = STEPS,
    simulate_hardware: bool = False,
    task: str = "cup",
) -> None:
    """Measure fingers, forces, the arm's base and its home, and write a new file with them; every step can be skipped.

    Args:
        config: The TOML file that describes the robot; it stays as it is.
        out: The new file; beside the old one, with -calibrated in its name, without it.
        steps: Which to do.
        simulate_hardware: Measure simulated devices in place of those of the file.
        task: Whose start pose the simulated robot is in, where the file has none.
    """
    target = out or config.with_name(f"{config.stem}-calibrated{config.suffix}")
    if target.exists():
        raise DexloopError(f"{target} is there already and is not overwritten; choose another --out")
    file = read_robot(config)
    person = Person(input, print)
    with contextlib.ExitStack() as opened:
        if simulate_hardware:
            file = replace(file, cameras={})
            world = SimulatedHardware(file, hardware_config(file, load_task(task)), SimConfig(task=task))
            opened.callback(world.close)
            file = world.file
        bench = connect(file, task, opened)
        changes = guide(bench, person, steps)
    if not changes:
        person.tell("nothing was measured, and nothing is written")
        return
    write_new(target, changed(config, changes))
    person.tell(f"{target} written; look through it, then: dexloop doctor --config {target}")


def connect(file: RobotFile, task: str, opened: contextlib.ExitStack, motion: FingerMotion | None = None) -> Bench:
    """Connect to arm and hand; ``opened`` closes them. Raises DeviceError where one does not answer."""
    arm = RealmanArm(file.arm.host, file.arm.port, file.arm.push_port, period=file.arm.period, stale=file.stale)
    opened.callback(arm.close)
    # On the factory's scale the whole stroke can be commanded, whatever the file says.
    hand = open_hand(replace(file.hand, calibration=Calibration()), arm)
    opened.callback(hand.close)
    hand.state()
    return Bench(file, task, arm, hand, motion or FingerMotion())


def guide(bench: Bench, person: Person, steps: Sequence[Step] = STEPS) -> list[Change]:
    """Do the steps, each with what the ones before have found; what is to be written. Raises DeviceError."""
    person.tell("Ctrl-C ends this at any time, and then nothing is written.")
    changes: list[Change] = []
    for step in STEPS:
        if step in steps:
            changes += _STEPS[step](bench, person)
    return changes


def changed(path: Path, changes: Sequence[Change]) -> str:
    """The text of a robot file with new values; raises DexloopError where they cannot be put into its form."""
    text = path.read_text(encoding="utf-8")
    for change in changes:
        text = with_value(text, change.section, change.key, change.value)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_text(text, encoding="utf-8")
        try:
            read_robot(trial)
        except DexloopError as error:
            wanted = "; ".join(f"[{c.section}] {c.key} = {c.value}" for c in changes)
            raise DexloopError(
                f"{path} has a form that cannot be filled in ({error}); write yourself: {wanted}"
            ) from None
    return text


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
    """What each finger reports when nothing touches it; the file has no place for it, and a large one is mended."""
    person.tell("\nForces: what the fingers report when nothing touches them.")
    if person.choose("Let nothing touch the fingers, then press Enter; or skip", ("", "skip")) == "skip":
        return []
    mean, spread = forces(bench.hand)
    for name, force, deviation in zip(FINGER_NAMES, mean, spread, strict=True):
        person.tell(f"{name}: {force:+.2f} N, deviation {deviation:.2f} N; 0 wanted")
    off = [name for name, force in zip(FINGER_NAMES, mean, strict=True) if abs(force) > REST_FORCE]
    if off:
        person.tell(
            f"{', '.join(off)}: more than {REST_FORCE:g} N. The zero is kept in the hand: calibrate its force sensors "
            "with the maker's program, and measure again"
        )
    return []


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


_STEPS: dict[Step, Callable[[Bench, Person], list[Change]]] = {
    "fingers": measure_fingers,
    "forces": measure_forces,
    "base": measure_base,
    "home": measure_home,
}


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
