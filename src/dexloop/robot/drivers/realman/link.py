"""The TCP connection to the arm: messages out, answers in."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.realman.lines import LineBuffer
from dexloop.robot.drivers.realman.protocol import Message, decode, encode

_CLOSED = "the arm closed the connection"


def _nobody(message: Message) -> None:
    """Nobody wants to know."""


class Link:
    """A connection whose reader thread ends with close().

    Whatever goes wrong with it (closed by the arm, garbage, a line without end) stays wrong: every later call raises
    the same DeviceError, since a stream that lost its place cannot be trusted again, until ``reconnect``.
    """

    def __init__(self, host: str, port: int, timeout: float) -> None:
        """Raises DeviceError where nobody listens, within ``timeout`` [s], which is that of every call."""
        self._address, self._timeout = (host, port), timeout
        self._hear: Callable[[Message], None] = _nobody
        self._socket = self._connect()
        self._failure: str | None = None
        self._closing = False
        self._awaited: str | None = None
        self._answer: Message | None = None
        self._arrived = threading.Condition()
        self._sending = threading.Lock()
        self._requesting = threading.Lock()
        self._listeners: dict[str, Callable[[Message], None]] = {}
        self._reader = self._start_reader()

    @property
    def local_ip(self) -> str:
        """This machine's address as the arm sees it."""
        return self._socket.getsockname()[0]

    @property
    def remote_ip(self) -> str:
        return self._socket.getpeername()[0]

    def listen(self, name: str, listener: Callable[[Message], None]) -> None:
        """Have ``listener`` called, in the reader thread, with messages of this name that answer no request."""
        self._listeners[name] = listener

    def overhear(self, hear: Callable[[Message], None]) -> None:
        """Have ``hear`` called, in the reader thread, with every message, answers among them."""
        self._hear = hear

    @property
    def broken(self) -> bool:
        """Whether every call fails until ``reconnect``."""
        return self._failure is not None and not self._closing

    def reconnect(self) -> None:
        """A new connection in place of one that broke, with the same listeners.

        Raises DeviceError where nobody listens; it stays broken then.
        """
        with self._sending:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._reader.join()
            self._socket.close()
            self._socket = self._connect()
            with self._arrived:
                self._failure = None
            self._reader = self._start_reader()

    def check(self) -> None:
        """Raises DeviceError where the connection is no more."""
        if self._failure is not None:
            raise DeviceError(self._failure)

    def send(self, message: Message) -> None:
        """Send without waiting for an answer."""
        self.check()
        with self._sending:
            try:
                self._socket.sendall(encode(message))
            except OSError as error:
                self._broke(error)
        self.check()

    def request(self, message: Message, flag: str, within: float | None = None) -> None:
        """Send, and wait for the answer of the same name, whose ``flag`` says that it was done.

        Raises DeviceError where the arm refuses, or has not answered ``within`` this time [s], else the timeout.
        """
        name = message["command"]
        within = self._timeout if within is None else max(0.0, within)
        deadline = time.monotonic() + within
        if not self._requesting.acquire(timeout=within):
            raise DeviceError(f"{name}: the arm still owes an earlier answer")
        try:
            with self._arrived:
                self._awaited, self._answer = name, None
            self.send(message)
            with self._arrived:
                self._arrived.wait_for(lambda: self._answer or self._failure, max(0.0, deadline - time.monotonic()))
                reply, self._awaited = self._answer, None
        finally:
            self._requesting.release()
        if reply is None:
            self.check()
            raise DeviceError(f"{name}: no answer from the arm within {within:.3g} s")
        if reply.get(flag) is not True:
            raise DeviceError(f"{name}: the arm refused")

    def close(self) -> None:
        """End the connection and the reader thread."""
        self._closing = True
        self._fail("the connection to the arm is closed")
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def _connect(self) -> socket.socket:
        host, port = self._address
        try:
            connection = socket.create_connection((host, port), self._timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise DeviceError(f"the arm at {host}:{port} cannot be reached: {error}") from None
        return connection

    def _start_reader(self) -> threading.Thread:
        reader = threading.Thread(target=self._read, name="realman-link", daemon=True)
        reader.start()
        return reader

    def _fail(self, failure: str) -> None:
        with self._arrived:
            self._failure = self._failure or failure
            self._arrived.notify_all()

    def _broke(self, error: OSError) -> None:
        # An arm that closes the connection is noticed by whoever sends or reads first: the same words for both.
        self._fail(_CLOSED if isinstance(error, ConnectionError) else f"the connection to the arm broke: {error}")

    def _read(self) -> None:
        lines = LineBuffer()
        while not self._closing:
            try:
                data = self._socket.recv(65_536)
                if not data:
                    return self._fail(_CLOSED)
                for line in lines.feed(data):
                    self._dispatch(decode(line))
            except TimeoutError:
                continue
            except OSError as error:
                return self._broke(error)
            except DeviceError as error:
                return self._fail(str(error))

    def _dispatch(self, message: Message) -> None:
        self._hear(message)
        names = (message.get("command"), message.get("state"))
        with self._arrived:
            if self._awaited is not None and self._awaited in names:
                self._answer = message
                self._arrived.notify_all()
                return
        for name in names:
            if isinstance(name, str) and name in self._listeners:
                self._listeners[name](message)
