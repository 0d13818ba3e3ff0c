"""When ticks are due, on an absolute grid, and how well that was kept."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np

_REMEMBERED = 2000


@dataclass(frozen=True, slots=True)
class Timing:
    """How punctual a controller was.

    ticks: begun. late: of those, how many began more than half a tick after their time. missed: due while another
    still ran, and left out. periods: control periods ended. jitter_p50, jitter_p99, jitter_worst [s]: how far the
    intervals between ends of control periods were from their length, over the newest 2000.
    """

    ticks: int
    late: int
    missed: int
    periods: int
    jitter_p50: float
    jitter_p99: float
    jitter_worst: float


class Schedule:
    """Ticks of ``tick`` [s], ``per_period`` of them a control period; due times do not drift."""

    def __init__(self, tick: float, per_period: int) -> None:
        self.tick = tick
        self.per_period = per_period
        self._intervals: deque[float] = deque(maxlen=_REMEMBERED)
        self._ticks = self._late = self._missed = self._periods = 0
        self.restart()

    def restart(self) -> None:
        """A control period begins now; what was due before is of no interest."""
        self._began = time.monotonic()
        self._next = self.index = self._boundary = 0
        self._ended = self._began

    def wait(self) -> float:
        """Sleep until the next tick is due; returns how late it begins [s]."""
        due = self._began + self._next * self.tick
        time.sleep(max(0.0, due - time.monotonic()))
        overrun = time.monotonic() - due
        # What was due meanwhile is left out: two setpoints at once would be a jump.
        missed = int(overrun / self.tick)
        self.index = self._next + missed
        self._next = self.index + 1
        self._ticks += 1
        self._missed += missed
        self._late += overrun > 0.5 * self.tick
        return overrun

    @property
    def left(self) -> int:
        """Ticks from this one to the end of the control period, this one included."""
        return self.per_period - self.index % self.per_period

    @property
    def period(self) -> float:
        """The length of a control period [s]."""
        return self.per_period * self.tick

    def period_ended(self) -> bool:
        """Whether this tick is the first of a control period; True once for each."""
        boundary = self.index // self.per_period
        if boundary == self._boundary:
            return False
        self._boundary = boundary
        now = time.monotonic()
        self._intervals.append(now - self._ended)
        self._periods += 1
        self._ended = now
        return True

    def next_period(self) -> float:
        """When the next control period begins, as ``time.monotonic()`` [s]."""
        return self._began + (self._boundary + 1) * self.per_period * self.tick

    def timing(self) -> Timing:
        """So far."""
        jitter = np.abs(np.array(list(self._intervals) or [self.period]) - self.period)
        p50, p99 = np.quantile(jitter, (0.5, 0.99)).tolist()
        return Timing(self._ticks, self._late, self._missed, self._periods, p50, p99, float(jitter.max()))
