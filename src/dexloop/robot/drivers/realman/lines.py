"""Lines out of a stream of bytes, whose packets end where they like."""

from __future__ import annotations

from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.realman.protocol import LINE_LIMIT


class LineBuffer:
    """Collects bytes until lines are whole, up to ``limit`` bytes a line."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes, without their ends and without empty ones.

        Raises DeviceError where a line, whole or not, is longer than the limit.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if max(map(len, (*lines, self._rest))) > self._limit:
            raise DeviceError(f"the arm sent a line of more than {self._limit} bytes")
        return [line for line in (line.strip() for line in lines) if line]
