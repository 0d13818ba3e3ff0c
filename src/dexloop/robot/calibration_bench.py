"""What a guided calibration works with: the devices, the person who answers, and what is to be written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dexloop.robot.devices import Array, Hand
from dexloop.robot.drivers.inspire.calibration import Calibration
from dexloop.robot.drivers.inspire.hand import InspireHand
from dexloop.robot.drivers.realman import RealmanArm
from dexloop.robot.hand_calibration import FingerMotion
from dexloop.robot.open_robot import open_hand
from dexloop.robot.robot_file import RobotFile
from dexloop.sim.tasks.base import load_task


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


def connect(file: RobotFile, task: str, opened: contextlib.ExitStack, motion: FingerMotion | None = None) -> Bench:
    """Connect to arm and hand; ``opened`` closes them. Raises DeviceError where one does not answer."""
    arm = RealmanArm(file.arm.host, file.arm.port, file.arm.push_port, period=file.arm.period, stale=file.stale)
    opened.callback(arm.close)
    # On the factory's scale the whole stroke can be commanded, whatever the file says.
    hand = open_hand(replace(file.hand, calibration=Calibration()), arm)
    opened.callback(hand.close)
    hand.state()
    return Bench(file, task, arm, hand, motion or FingerMotion())
