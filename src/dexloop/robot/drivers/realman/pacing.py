"""Messages no oftener than a device takes them."""

from __future__ import annotations

import time


class Pacer:
    """A schedule with one message a period that nobody can run ahead of.

    A message that comes late may be made up for, but by half a period at most: a control loop of the same period
    jitters without falling behind, and two messages are never closer than half a period.
    """

    def __init__(self, period: float) -> None:
        """period: [s]."""
        self._period = period
        self._due = -float("inf")

    def wait(self) -> None:
        """Wait until the next message may go, and count it as gone."""
        time.sleep(max(0.0, self._due - time.monotonic()))
        self._due = max(self._due, time.monotonic() - self._period / 2.0) + self._period
