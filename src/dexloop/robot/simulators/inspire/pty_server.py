"""A simulated serial port with a hand behind it."""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from dexloop.robot.simulators.inspire.line_faults import LineFaults, befallen
from dexloop.robot.simulators.inspire.model import HandModel

_TICK = 0.005


@dataclass(frozen=True, slots=True)
class LineTiming:
    """How long an exchange takes: its bytes at ``baud`` with ten bits each, and the hand's time to think [s].

    The thinking time is such that a read of six values takes the 6 ms that users have measured.
    """

    baud: int = 115200
    thinking: float = 0.0035

    def seconds(self, bytes_on_line: int) -> float:
        """From the first byte of a request to the last of its reply."""
        return 10 * bytes_on_line / self.baud + self.thinking


class PtyServer:
    """Serves a hand on a pseudo-terminal, from a thread of its own, until it is closed.

    answer: maps the bytes that have arrived to the requests they complete, each with its reply; a request may have
    none. It keeps half requests to itself. timing: None for as fast as can be. path: of the serial port.
    """

    def __init__(
        self,
        model: HandModel,
        answer: Callable[[bytes], list[tuple[bytes, bytes]]],
        faults: LineFaults | None = None,
        timing: LineTiming | None = None,
    ) -> None:
        self._model = model
        self._answer = answer
        self._faults = faults or LineFaults()
        self._timing = timing
        # The other end is kept open too: reading fails while nobody has it open.
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"simulated hand on {self.path}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving; again does nothing."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)

    def __enter__(self) -> PtyServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            arrived = select.select([self._master], [], [], _TICK)[0]
            self._model.advance()
            data = os.read(self._master, 4096) if arrived else b""
            if not self._faults.silent:
                for request, reply in self._answer(data):
                    self._send(request, reply)

    def _send(self, request: bytes, reply: bytes) -> None:
        fault = self._faults.next()
        seconds = fault.delay + (self._timing.seconds(len(request) + len(reply)) if self._timing else 0.0)
        if seconds:
            time.sleep(seconds)
        if left := befallen(reply, fault):
            os.write(self._master, left)
