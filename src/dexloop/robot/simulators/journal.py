"""What happened, row by row, in a file that a kill -9 of its writer does not spoil."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

VALUES = 12
MEASURED: Final = 0
"""Where the simulated joints (6,) [rad] and fingers (6,) [closed fraction] are."""
TARGET: Final = 1
"""Joint angles (6,) [rad] that the arm received."""
SETPOINT: Final = 2
"""Joints (6,) [rad] and fingers (6,) [closed fraction] that a controller gave to its devices."""
BEGUN: Final = 3
"""An action that began: until when it was valid [s], and its sequence number."""
REARMED: Final = 4
"""A controller took where the robot is for its newest setpoint; what begins here is no step from what was before."""
HOMING: Final = 5
"""An episode was asked for: from here on the robot may go home."""
STARTED: Final = 6
"""An episode has begun where the newest setpoint is."""
_ROW = struct.Struct(f"<{2 + VALUES}d")


class Journal:
    """Appends rows from any thread; each is written at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def note(self, seconds: float, kind: int, values: Iterable[float] = ()) -> None:
        """Add a row: when it was, as ``time.monotonic()`` [s], what it is, and up to 12 values."""
        row = [seconds, float(kind), *values]
        data = _ROW.pack(*row, *[float("nan")] * (2 + VALUES - len(row)))
        with self._lock:
            self._file.write(data)

    def close(self) -> None:
        """Nothing is lost without it."""
        self._file.close()


def read_journal(path: Path) -> NDArray[np.float64]:
    """All whole rows (N, 14): seconds, kind, values; one that was being written is left out."""
    data = path.read_bytes()
    return np.frombuffer(data[: len(data) // _ROW.size * _ROW.size], np.float64).reshape(-1, 2 + VALUES)
