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


def ask(ended: threading.Event) -> Callable[[], None]:
    """A function that waits until a person at this terminal presses Enter, which they do once the object is in place.

    ended: set where nobody needs to wait any more; the function raises DexloopError then. Raises DexloopError where
    there is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise DexloopError("[reset] confirm = true asks a person, and there is no terminal here; write false")

    def confirm() -> None:
        _forget_what_was_typed()
        say("put the object where the task starts, keep your hands away, then press Enter")
        while not _pressed_enter(_LOOK_SECONDS):
            if ended.is_set():
                raise DexloopError("the controller ends")

    return confirm


def ask_to_look() -> Callable[[str], None] | None:
    """A function that says why the robot does not move, and waits until a person at this terminal presses Enter.

    None where there is no terminal to ask at.
    """
    # A program that was started with its input closed has none at all.
    return _have_looked if sys.stdin is not None and sys.stdin.isatty() else None


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
