"""The bad network itself: late in order, silent without loss, and cut."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from dexloop.robot.simulators.relay import Relay


@pytest.fixture
def relay() -> Iterator[Relay]:
    """In front of somebody who says everything again."""
    with socket.create_server(("127.0.0.1", 0)) as server, Relay(server.getsockname()) as relay:

        def echo() -> None:
            while True:
                try:
                    end, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=again, args=(end,), daemon=True).start()

        def again(end: socket.socket) -> None:
            with end:
                try:
                    while data := end.recv(4096):
                        end.sendall(data)
                except OSError:
                    return

        thread = threading.Thread(target=echo, daemon=True)
        thread.start()
        yield relay
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def connected(relay: Relay) -> socket.socket:
    return socket.create_connection(("127.0.0.1", relay.port), 5.0)


def test_everything_comes_late_and_in_order(relay: Relay) -> None:
    relay.delay, relay.jitter = 0.1, 0.05
    with connected(relay) as line:
        began, got = time.monotonic(), b""
        for k in range(20):
            line.sendall(bytes([k]))
        while len(got) < 20:
            got += line.recv(4096)
        assert got == bytes(range(20))
        assert time.monotonic() - began >= 0.2, "there and back"


def test_what_is_stalled_is_not_lost(relay: Relay) -> None:
    with connected(relay) as line:
        relay.stalled = True
        line.sendall(b"hello")
        line.settimeout(0.3)
        with pytest.raises(TimeoutError):
            line.recv(5)
        relay.stalled = False
        line.settimeout(5.0)
        assert line.recv(5) == b"hello"


def test_a_cut_ends_connections_and_not_the_relay(relay: Relay) -> None:
    with connected(relay) as line:
        line.sendall(b"a")
        assert line.recv(1) == b"a"
        relay.cut()
        with contextlib.suppress(ConnectionError):
            assert line.recv(1) == b""
    with connected(relay) as line:
        line.sendall(b"b")
        assert line.recv(1) == b"b"


def test_an_end_travels_too(relay: Relay) -> None:
    with connected(relay) as line:
        line.sendall(b"last")
        line.shutdown(socket.SHUT_WR)
        got = b""
        while data := line.recv(16):
            got += data
        assert got == b"last"
