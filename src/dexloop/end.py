"""The end of a program that runs until somebody ends it."""

from __future__ import annotations

import queue
import signal
from collections.abc import Sequence


class End:
    """From its making on, Ctrl-C, a termination signal and the end of the terminal are noted, and end nothing else.

    A handler runs in the midst of whatever the main thread does. A ``threading.Event`` would not do: its ``set`` and
    ``wait`` take one lock, so that a signal which comes just as a wait begins would wait for that wait for good.
    ``SimpleQueue.put`` may be called at any time.

    Args:
        signals: Which; only the main thread can catch them.
    """

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)) -> None:
        self._came: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in signals:
            signal.signal(number, self._note)

    def wait(self, seconds: float) -> bool:
        """Whether a signal came since the last that was waited for; waits for so long at the most."""
        try:
            self._came.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def _note(self, number: int, frame: object) -> None:
        self._came.put(number)
