"""The person beside the robot, who puts the object back, looks what is wrong, and says so."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable

from dexloop.errors import DexloopError
from dexloop.progress import say

_LOOK_SECONDS = 0.2


class Person:
    """Whoever is beside the robot: answers at this terminal with Enter, or from another one with ``dexloop confirm``.

    elsewhere: the command that answers from another terminal, for people. Without a terminal here it is the only way.
    """

    def __init__(self, elsewhere: str) -> None:
        self._elsewhere = elsewhere
        self._lock = threading.Lock()
        self._question: str | None = None
        self._answered = threading.Event()

    def ask(self, question: str, check: Callable[[], None]) -> None:
        """Return once somebody has confirmed what ``question`` asks for. One thread at a time.

        check: called every 0.2 s; raises DexloopError where nobody needs the answer any more, which ends the wait.
        """
        terminal = _has_terminal()
        with self._lock:
            self._question = question
            self._answered.clear()
        if terminal:
            _forget_what_was_typed()
        say(f"{question}, then {'press Enter or run' if terminal else 'run'}: {self._elsewhere}")
        try:
            while not (self._answered.is_set() or (terminal and _pressed_enter(_LOOK_SECONDS))):
                if not terminal:
                    self._answered.wait(_LOOK_SECONDS)
                check()
        except DexloopError as error:
            say(f"no answer is needed any more: {error}")
            raise
        finally:
            with self._lock:
                self._question = None

    def confirm(self) -> str:
        """Answer from elsewhere; returns the question. Raises DexloopError where nothing is asked."""
        with self._lock:
            if self._question is None:
                raise DexloopError("nobody is asked to confirm anything at present")
            self._answered.set()
            return self._question


def ask_to_look() -> Callable[[str], None] | None:
    """A function that says why the robot does not move, and waits until a person at this terminal presses Enter.

    None where there is no terminal to ask at.
    """
    return _have_looked if _has_terminal() else None


def _has_terminal() -> bool:
    # A program that was started with its input closed has none at all.
    return sys.stdin is not None and sys.stdin.isatty()


def _have_looked(fault: str) -> None:
    _forget_what_was_typed()
    say(fault)
    say("look at the robot, mend what is wrong, keep your hands away; Enter arms it again, and it goes to its start")
    while not _pressed_enter(_LOOK_SECONDS):
        pass


def _forget_what_was_typed() -> None:
    """What was typed before a question is no answer to it."""
    while _typed(0.0):
        pass


def _pressed_enter(seconds: float) -> bool:
    typed = _typed(seconds)
    return b"\n" in typed or b"\r" in typed


def _typed(seconds: float) -> bytes:
    """What is typed within this time [s], nothing where that is nothing; takes it."""
    if not select.select([sys.stdin], [], [], seconds)[0]:
        return b""
    # Not by lines: a terminal from which an operator reads single keys has none.
    typed = os.read(sys.stdin.fileno(), 4096)
    if not typed:
        raise DexloopError("nobody can answer any more: the terminal is closed")
    return typed
