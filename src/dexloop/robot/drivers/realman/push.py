"""The state that the arm pushes over UDP."""

from __future__ import annotations

import contextlib
import errno
import math
import socket
import threading
import time
from dataclasses import dataclass

from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.realman.faults import describe
from dexloop.robot.drivers.realman.protocol import Push, parse_push


@dataclass(frozen=True, slots=True)
class Received:
    """A state and when it came, as time.monotonic() [s]."""

    push: Push
    seconds: float


class PushReceiver:
    """Keeps the newest state, and remembers a fault until it is told to forget; its thread ends with close()."""

    def __init__(self, ip: str, port: int, source: str) -> None:
        """Listen at this machine's ``ip`` and ``port`` (0: any free one) for datagrams of ``source``.

        Raises DeviceError where the port is taken.
        """
        self._source = source
        self._changed = threading.Condition()
        self._newest: Received | None = None
        self._garbage: str | None = None
        self._fault: str | None = None
        self._closing = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((ip, port))
        except OSError as error:
            self._socket.close()
            taken = " (does another program read this arm?)" if error.errno == errno.EADDRINUSE else ""
            raise DeviceError(f"UDP port {port} for the arm's state: {error.strerror}{taken}") from None
        self._thread = threading.Thread(target=self._read, name="realman-push", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._socket.getsockname()[1]

    @property
    def fault(self) -> str | None:
        """What the arm reported since forget(), in words."""
        return self._fault

    def note(self, fault: str) -> None:
        """Remember a fault that came another way."""
        with self._changed:
            self._fault = self._fault or fault

    def newest(self) -> Received:
        """The newest state. Raises DeviceError while there is none, or where the newest datagram was none."""
        with self._changed:
            if self._garbage is not None:
                raise DeviceError(self._garbage)
            if self._newest is None:
                raise DeviceError("the arm has sent no state yet")
            return self._newest

    def wait(self, timeout: float, since: float = -math.inf) -> None:
        """Wait for a state that came after ``since`` [s]. Raises DeviceError for none within ``timeout`` [s]."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._newest and self._newest.seconds > since, timeout):
                silence = f"no state on UDP port {self.port} within {timeout:g} s: does a firewall block it?"
                raise DeviceError(self._garbage or silence)

    def wait_for_hand(self, timeout: float) -> None:
        """Wait for a state with a hand's. Raises DeviceError for none within ``timeout`` [s]."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._newest and self._newest.push.hand, timeout):
                raise DeviceError("the arm reports no hand: is one enabled as its end tool?")

    def forget(self, timeout: float) -> None:
        """Forget the fault once the arm reports none, for which it has ``timeout`` [s]; else keep it."""
        since = time.monotonic()

        def recovered() -> bool:
            newest = self._newest
            return newest is not None and newest.seconds > since and describe(newest.push) is None

        with self._changed:
            if self._changed.wait_for(recovered, timeout):
                self._fault = None

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        # A datagram to itself wakes the thread: closing a UDP socket elsewhere does not.
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while True:
            try:
                datagram, (source, _) = self._socket.recvfrom(65_536)
            except OSError as error:
                if not self._closing:
                    self._report(f"the arm's state cannot be read: {error}")
                return
            if self._closing:
                return
            if source == self._source:
                self._take(datagram)

    def _take(self, datagram: bytes) -> None:
        now = time.monotonic()
        try:
            push = parse_push(datagram)
        except DeviceError as error:
            return self._report(str(error))
        with self._changed:
            self._newest, self._garbage = Received(push, now), None
            self._fault = self._fault or describe(push)
            self._changed.notify_all()

    def _report(self, garbage: str) -> None:
        with self._changed:
            self._garbage = garbage
            self._changed.notify_all()
