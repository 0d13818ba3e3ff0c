"""Ctrl-C while the ``dexloop`` command still imports: there is nothing to save, so the process ends at once.

A KeyboardInterrupt would not do: one that is raised inside of an import may come out as an ImportError, or not at all.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

STATUS = 130
"""What a shell reports for a program that Ctrl-C ended."""


def end_at_once() -> None:
    """From now on Ctrl-C ends the process, where it would raise KeyboardInterrupt; ignored, it stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def is_command() -> bool:
    """Whether this process was started as ``dexloop`` or ``python -m dexloop``, and not to import dexloop."""
    words = sys.orig_argv[1:3]
    return words == ["-m", "dexloop"] or any(word.rpartition(os.sep)[2] == "dexloop" for word in words[:1])


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(STATUS)
