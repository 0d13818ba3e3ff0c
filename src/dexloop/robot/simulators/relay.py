"""A bad network between two programs: what one sends over TCP reaches the other late, later, or not at all."""

from __future__ import annotations

import contextlib
import queue
import random
import socket
import struct
import threading
import time
from types import TracebackType

_CHUNK = 65_536
_LOOK = 0.01
"""How often a stalled connection looks whether it may go on [s]."""
# A close that resets the connection instead of ending it politely.
_RESET = struct.pack("ii", 1, 0)
_Chunk = tuple[float, bytes]


class Relay:
    """Passes connections at ``port`` on to ``target``, in threads that end with ``close``.

    target: host and port of the other end, which may change between two connections. delay: how late every chunk of
    bytes leaves, in both directions [s]. jitter: what a chance adds to it, up to this [s]; as in TCP, the order stays.
    stalled: nothing passes and nothing is lost, as with a cable that is pulled out while both ends wait. All of them
    may be set at any time, from any thread. seed: of the chance.
    """

    def __init__(self, target: tuple[str, int], *, host: str = "127.0.0.1", seed: int = 0) -> None:
        self.target = target
        self.delay = self.jitter = 0.0
        self.stalled = False
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._closing = threading.Event()
        self._server = socket.create_server((host, 0))
        self._server.settimeout(0.05)
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="relay", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Reset every connection; new ones are made as before."""
        with self._lock:
            for end in self._sockets:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Reset every connection and end the threads; again does nothing."""
        self._closing.set()
        self._thread.join()
        self.cut()
        self._server.close()

    def __enter__(self) -> Relay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                near, _ = self._server.accept()
            except TimeoutError:
                continue
            try:
                far = socket.create_connection(self.target, 1.0)
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {near, far}
            ended = threading.Barrier(2, action=lambda near=near, far=far: self._forget(near, far))
            for source, sink in ((near, far), (far, near)):
                chunks: queue.SimpleQueue[_Chunk] = queue.SimpleQueue()
                threading.Thread(target=self._take, args=(source, chunks), name="relay-in", daemon=True).start()
                threading.Thread(target=self._give, args=(sink, chunks, ended), name="relay-out", daemon=True).start()

    def _take(self, source: socket.socket, chunks: queue.SimpleQueue[_Chunk]) -> None:
        due = 0.0
        data = b"more"
        while data:
            try:
                data = source.recv(_CHUNK)
            except OSError:
                data = b""
            due = max(due, time.monotonic() + self.delay + self._chance.uniform(0.0, self.jitter))
            # No bytes are the end, which is as late as everything else.
            chunks.put((due, data))

    def _give(self, sink: socket.socket, chunks: queue.SimpleQueue[_Chunk], ended: threading.Barrier) -> None:
        while True:
            due, data = chunks.get()
            self._closing.wait(max(0.0, due - time.monotonic()))
            while self.stalled and not self._closing.wait(_LOOK):
                pass
            with contextlib.suppress(OSError):
                if data:
                    sink.sendall(data)
                else:
                    sink.shutdown(socket.SHUT_WR)
            if not data:
                break
        with contextlib.suppress(threading.BrokenBarrierError):
            ended.wait()

    def _forget(self, *ends: socket.socket) -> None:
        with self._lock:
            self._sockets -= set(ends)
        for end in ends:
            end.close()
