"""What can go wrong on a simulated wire."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LineFault:
    """What happens to one reply.

    drop: it never comes. garble: the place of a byte whose bits are all turned over, counted as an index, None for
    none. delay: how much later it comes [s]; what is asked meanwhile is answered afterwards, as one hand does.
    """

    drop: bool = False
    garble: int | None = None
    delay: float = 0.0


class LineFaults:
    """The faults of a wire: a queue for the replies to come, and whether the wire is cut. From any thread.

    silent: while True, requests do not reach the hand.
    """

    def __init__(self) -> None:
        self.silent = False
        self._queue: deque[LineFault] = deque()
        self._lock = threading.Lock()

    def inject(self, fault: LineFault, times: int = 1) -> None:
        """Let a fault befall the next ``times`` replies, after those already in the queue."""
        with self._lock:
            self._queue.extend([fault] * times)

    def next(self) -> LineFault:
        """What befalls the reply that is due; nothing, without one in the queue."""
        with self._lock:
            return self._queue.popleft() if self._queue else LineFault()


def befallen(reply: bytes, fault: LineFault) -> bytes:
    """What is left of a reply; nothing of a dropped one."""
    if fault.drop:
        return b""
    if fault.garble is None or not reply:
        return reply
    damaged = bytearray(reply)
    damaged[fault.garble] ^= 0xFF
    return bytes(damaged)
