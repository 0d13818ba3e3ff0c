"""``dexloop serve`` with a journal: setpoints that the devices were given, actions when they began, and resets.

python benchmarks/chaos_service.py JOURNAL --robot rm65-inspire --config robot.toml
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from dexloop import serve
from dexloop.robot.backend import Command, Sample
from dexloop.robot.control_config import ControlConfig
from dexloop.robot.controller import RealTime
from dexloop.robot.person import Person
from dexloop.robot.plant import Plant, Setpoint
from dexloop.robot.simulators.journal import BEGUN, HOMING, REARMED, SETPOINT, STARTED, Journal
from dexloop.types import FloatArray


class TimedCommand(Command):
    """A command whose values are looked at once, when it begins: then ``begun`` is told."""

    _journal: Journal
    _values: FloatArray

    def __init__(self, command: Command, journal: Journal) -> None:
        for name in ("sequence", "expires", "refuse"):
            object.__setattr__(self, name, getattr(command, name))
        object.__setattr__(self, "_values", command.values)
        object.__setattr__(self, "_journal", journal)

    @property
    def values(self) -> FloatArray:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._journal.note(time.monotonic(), BEGUN, (self.expires, float(self.sequence)))
        return self._values


def journalled(journal: Journal) -> type[RealTime]:
    """The controller, with what it does noted."""

    class Journalled(RealTime):
        def __init__(self, plant: Plant, config: ControlConfig, person: Person | None) -> None:
            give = plant.command

            def command(setpoint: Setpoint) -> None:
                give(setpoint)
                journal.note(time.monotonic(), SETPOINT, np.concatenate([setpoint.joints, setpoint.fingers]).tolist())

            plant.command = command  # type: ignore[method-assign]
            super().__init__(plant, config, person)

        def submit(self, command: Command) -> None:
            super().submit(TimedCommand(command, journal))

        def reset(self, seed: int) -> Sample:
            journal.note(time.monotonic(), HOMING)
            sample = super().reset(seed)
            # Whoever asked for it has not seen it yet, so that no action can have begun.
            journal.note(time.monotonic(), STARTED)
            return sample

        def rearm(self) -> None:
            # It happens between these two, in another thread.
            journal.note(time.monotonic(), REARMED)
            try:
                super().rearm()
            finally:
                journal.note(time.monotonic(), REARMED)

    return Journalled


if __name__ == "__main__":
    serve.RealTime = journalled(Journal(Path(sys.argv[1])))  # type: ignore[misc]
    sys.exit(serve.main(sys.argv[2:]))
