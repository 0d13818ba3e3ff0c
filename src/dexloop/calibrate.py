"""``dexloop calibrate``: measure with a robot's own devices what its file must say, step by step, at a terminal.

Nothing moves but the fingers, and these only after a yes. The old file is never changed; the new one is written at the
end, so that Ctrl-C before that leaves everything as it was.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import tyro

from dexloop.errors import DexloopError
from dexloop.interruption import STATUS
from dexloop.progress import say
from dexloop.robot.calibrate_arm import measure_base, measure_home
from dexloop.robot.calibrate_hand import measure_fingers, measure_forces
from dexloop.robot.calibration_bench import Bench, Change, Person, connect
from dexloop.robot.open_robot import hardware_config
from dexloop.robot.robot_file import read_robot
from dexloop.robot.simulated_hardware import SimulatedHardware
from dexloop.robot.toml_edit import with_value, write_new
from dexloop.sim.config import SimConfig
from dexloop.sim.tasks.base import load_task

Step = Literal["fingers", "forces", "base", "home"]
STEPS: tuple[Step, ...] = ("fingers", "forces", "base", "home")


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
    person.tell(f"{target} written; look through it, then: dexloop doctor --config {target}, and use it from then on")


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


_STEPS: dict[Step, Callable[[Bench, Person], list[Change]]] = {
    "fingers": measure_fingers,
    "forces": measure_forces,
    "base": measure_base,
    "home": measure_home,
}
