"""A person at the terminal: keys move action dimensions, and say how an episode went."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from typing import Any, Literal

import numpy as np

from dexloop.errors import DexloopError
from dexloop.progress import say
from dexloop.types import HANDS_OFF, Episode, Observation, OperatorInput, RobotSpec, Transition, Verdict

# One pair of keys an action dimension, the first for more and the second for less; the first two pairs lie as
# arrow keys do. q, y, n and the space bar have meanings of their own.
KEY_PAIRS = ("da", "ws", "rf", "tg", "uj", "ik", "ol", "ex", "vc", "bz", "mh", "p;", "21", "43", "65", "87", "09")
# A key that is held down repeats, but the first repeat is half a second late on many systems and later ones come
# 30 times a second: a press acts this long, so that short presses are small motions and repeats join [s].
_PRESS_SECONDS = 0.15
_POSITION_STEP = 0.2
_ESCAPE_SEQUENCE = re.compile(r"\x1b(\[[0-9;]*|O)?[A-Za-z~]?")
_VERDICTS = {"y": Verdict.SUCCESS, "n": Verdict.FAILURE}
_ENTER = "\r\n"

Role = Literal["demonstrate", "take over", "judge"]
"""What the person is there for: to drive from the start, to drive from a key press on, or only to judge."""


class KeyboardOperator:
    """Reads single keys from the terminal on standard input.

    Whoever drives, drives everything. A press moves its dimension at full size for 0.15 s; without one there is no
    motion. In groups named "hand", whose actions are positions rather than motions, it moves the position by 0.2
    instead, which then stays. Space pauses and goes on; y and n end the episode as success and failure; q stops the
    session. A robot that cannot hold stands still during a pause.

    role: who demonstrates drives from the start, with open hands (-1). Who takes over lets the policy drive until they
    press a key that moves something, from the positions where the hands are then, and gives the controls back with
    Enter. Who judges never drives. A person who takes over has to listen to the steps, to know those positions.

    The terminal is taken at the first ``reset`` and given back by ``close``. Linux and macOS only.

    spec: of the robot. descriptor: of the terminal to read from, None for standard input. flag: that named the
    keyboard, for errors. Raises DexloopError for a robot with more action dimensions than there are pairs of keys,
    unless the person only judges.
    """

    def __init__(
        self,
        spec: RobotSpec,
        descriptor: int | None = None,
        *,
        role: Role = "demonstrate",
        flag: str = "--operator",
    ) -> None:
        if spec.action.size > len(KEY_PAIRS) and role != "judge":
            raise DexloopError(
                f"{flag} keyboard has keys for {len(KEY_PAIRS)} action dimensions, {spec.name} has "
                f"{spec.action.size}; give {flag} module:function"
            )
        self._spec = spec
        self._role: Role = role
        self._flag = flag
        self._wanted = descriptor
        self._descriptor = -1
        self._period = 1.0 / spec.control_hz
        self._press_steps = max(1, round(_PRESS_SECONDS * spec.control_hz))
        self._stays = np.zeros(spec.action.size, np.bool_)
        for group in spec.action.groups:
            self._stays[group.start : group.stop] = group.name == "hand"
        pairs = [] if role == "judge" else list(enumerate(KEY_PAIRS[: spec.action.size]))
        self._keys = {key: (i, sign) for i, pair in pairs for key, sign in zip(pair, (1.0, -1.0), strict=True)}
        self._saved: list[Any] | None = None
        self._forget()

    def _forget(self) -> None:
        self._value = np.where(self._stays, -1.0, 0.0).astype(np.float32)
        self._left = np.zeros(self._spec.action.size, np.int64)
        self._driving = self._role == "demonstrate"
        self._paused = False
        self._due = time.monotonic()

    def reset(self, seed: int) -> None:
        """Begin an episode: hands off, and keys pressed since the last one do not count.

        Raises DexloopError when there is no terminal to read from.
        """
        if self._saved is None:
            self._open()
        termios.tcflush(self._descriptor, termios.TCIFLUSH)
        self._forget()

    def require_terminal(self) -> None:
        """Raise DexloopError when there is no terminal to read from."""
        self._descriptor = _standard_input() if self._wanted is None else self._wanted
        if self._descriptor < 0 or not os.isatty(self._descriptor):
            raise DexloopError(
                f"{self._flag} keyboard needs a terminal on standard input; run it in one, without a pipe"
            )

    def _open(self) -> None:
        self.require_terminal()
        self._saved = termios.tcgetattr(self._descriptor)
        # Keys come one by one and unseen; Ctrl-C keeps its meaning.
        tty.setcbreak(self._descriptor, termios.TCSANOW)
        say(self.help())

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._saved is not None:
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._saved)
            self._saved = None

    def help(self) -> str:
        """Which key does what, in a few lines for the person."""
        judging = "space pause or go on, y success, n failure, q stop"
        if self._role == "judge":
            return f"keys: {judging}"
        names = self._spec.action.names or tuple(f"action {i}" for i in range(self._spec.action.size))
        moves = ", ".join(f"{pair[0]}/{pair[1]} {name}" for pair, name in zip(KEY_PAIRS, names, strict=False))
        back = "each of these takes the controls, Enter gives them back\n" if self._role == "take over" else ""
        return f"keys (more/less): {moves}\n{back}{judging}"

    def on_step(self, transition: Transition) -> None:
        """Take note of where the hands are while the policy drives, to take over from there."""
        if not self._driving:
            self._value[self._stays] = transition.executed[self._stays]

    def on_episode(self, episode: Episode) -> None:
        """Nothing: the next episode begins with ``reset``."""

    def poll(self, observation: Observation, asked: bool = False) -> OperatorInput:
        """What the keys pressed within this control period say.

        Waits for what is left of the period, so that an environment without a clock runs at the robot's rate.
        """
        pressed = self._read()
        self._left = np.maximum(self._left - 1, 0)
        self._value[(self._left == 0) & ~self._stays] = 0.0
        for key in pressed:
            if key == "q":
                return OperatorInput(stop=True)
            if key in _VERDICTS:
                return OperatorInput(verdict=_VERDICTS[key])
            if key == " ":
                self._paused = not self._paused
            elif key in _ENTER and self._role == "take over":
                self._driving = False
            elif key in self._keys:
                self._driving = True
                self._press(*self._keys[key])
        if self._paused and self._spec.can_hold:
            return OperatorInput(pause=True)
        resting = self._paused and self._role != "judge"
        if not (self._driving or resting):
            return HANDS_OFF
        action = np.where(self._stays | (not resting), self._value, 0.0).astype(np.float32)
        return OperatorInput(action=action, control=np.ones(action.shape, np.bool_))

    def _press(self, dimension: int, sign: float) -> None:
        if self._stays[dimension]:
            self._value[dimension] = np.clip(self._value[dimension] + sign * _POSITION_STEP, -1.0, 1.0)
        else:
            self._value[dimension] = sign
            self._left[dimension] = self._press_steps

    def _read(self) -> str:
        """The keys that came until the control period's end."""
        keys = b""
        while True:
            wait = self._due - time.monotonic()
            ready, _, _ = select.select([self._descriptor], [], [], max(wait, 0.0))
            if ready:
                keys += self._available()
            if wait <= 0.0 and not ready:
                break
        self._due += self._period
        if self._due < time.monotonic():  # a period that took too long is not made up for by a short one
            self._due = time.monotonic() + self._period
        # Arrow and function keys send letters too, which were not meant.
        return _ESCAPE_SEQUENCE.sub("", keys.decode("ascii", errors="ignore")).lower()

    def _available(self) -> bytes:
        try:
            read = os.read(self._descriptor, 64)
        except OSError:  # Linux's way of saying that nobody is at the other end
            read = b""
        if not read:
            raise DexloopError(f"{self._flag} keyboard: the terminal was closed")
        return read


def _standard_input() -> int:
    """Its descriptor, or -1 where there is none that could be a terminal."""
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        return -1
