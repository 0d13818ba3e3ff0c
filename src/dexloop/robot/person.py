"""The person beside the robot, who puts the object back and says so."""

from __future__ import annotations

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
        # What was typed before the question is no answer to it.
        while _typed(0.0):
            pass
        say("put the object where the task starts, keep your hands away, then press Enter")
        while not _typed(_LOOK_SECONDS):
            if ended.is_set():
                raise DexloopError("the controller ends")

    return confirm


def _typed(seconds: float) -> bool:
    """Whether a line was typed within this time [s]; takes it."""
    if not select.select([sys.stdin], [], [], seconds)[0]:
        return False
    if not sys.stdin.readline():
        raise DexloopError("nobody can answer any more: the terminal is closed")
    return True
