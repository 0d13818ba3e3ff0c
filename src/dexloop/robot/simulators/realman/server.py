"""The simulated controller on sockets: a TCP server of JSON lines and the UDP push."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType

from dexloop.robot.simulators.inspire.model import HandModel
from dexloop.robot.simulators.realman.controller import Controller, Errors, PushSettings
from dexloop.robot.simulators.realman.plant import ArmPlant, KinematicPlant

_CYCLE = 0.005
"""The unit of the push's period [s]."""
_LINE_LIMIT = 65_536


@dataclass(slots=True)
class Faults:
    """What goes wrong on the wire, to be set while the simulator runs.

    silent: neither states nor answers leave. delay: how late they leave [s]. loss: the share of states that is lost on
    the way, [0, 1]. garbage: sent in place of them.
    """

    silent: bool = False
    delay: float = 0.0
    loss: float = 0.0
    garbage: bytes | None = None


class RealmanSimulator:
    """An RM65-B at a TCP port of this machine, in threads that end with close().

    errors: what the arm reports of itself; faults: what goes wrong on the wire. Both may be changed at any time.
    """

    def __init__(
        self,
        plant: ArmPlant | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        push_port: int = 8089,
        answer_frames: bool = False,
        hand: HandModel | None = None,
    ) -> None:
        """plant: what moves, a KinematicPlant by default. port: 0 for any free one. push_port: where states go until
        a client says otherwise. answer_frames: answer streamed targets, as the second generation does. hand: what
        hangs on the flange and is relayed, a hand of its own by default."""
        self.faults = Faults()
        self.received: deque[tuple[float, bytes]] = deque(maxlen=10_000)
        """The newest lines that clients sent, with the time.monotonic() at which they came [s]."""
        push = PushSettings(host, push_port)
        self._controller = Controller(plant or KinematicPlant(), push, hand or HandModel(), answer_frames=answer_frames)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._clients: dict[socket.socket, threading.Thread] = {}
        self._pushing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._pushing.bind((host, 0))
        self._server = socket.create_server((host, port))
        self._server.settimeout(0.03)
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._accept, self._push)]
        for thread in self._threads:
            thread.start()

    @property
    def port(self) -> int:
        return self._server.getsockname()[1]

    @property
    def errors(self) -> Errors:
        return self._controller.errors

    @property
    def enabled(self) -> list[bool]:
        """Of each joint."""
        return self._controller.enabled

    @property
    def ignored_frames(self) -> int:
        """Targets that the joints did not respond to."""
        return self._controller.ignored_frames

    def cut(self) -> None:
        """Close every client's connection."""
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def say(self, data: bytes) -> None:
        """Send these bytes to every client."""
        with self._lock:
            for client in self._clients:
                client.sendall(data)

    def push(self, datagram: bytes) -> None:
        """Send this datagram where states go."""
        settings = self._controller.push
        self._pushing.sendto(datagram, (settings.ip, settings.port))

    def close(self) -> None:
        """End connections and threads."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self.cut()
        with self._lock:
            serving = list(self._clients.values())
        for thread in serving:
            thread.join()
        self._server.close()
        self._pushing.close()

    def __enter__(self) -> RealmanSimulator:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._server.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                with self._lock:
                    self._clients[client] = thread
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        rest = b""
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                *lines, rest = (rest + data).split(b"\r\n")
                for line in lines:
                    self.received.append((time.monotonic(), line))
                    self._answer(client, line)
                if len(rest) > _LINE_LIMIT:
                    break
        with self._lock:
            self._clients.pop(client, None)
        client.close()

    def _answer(self, client: socket.socket, line: bytes) -> None:
        try:
            message = json.loads(line)
            with self._lock:
                answer = self._controller.handle(message)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError):
            return
        if answer is None or self.faults.silent:
            return
        self._closing.wait(self.faults.delay)
        client.sendall((self.faults.garbage or json.dumps(answer).encode()) + b"\r\n")

    def _push(self) -> None:
        due: deque[tuple[float, bytes]] = deque()
        chance = random.Random(0)
        while not self._closing.wait(_CYCLE * max(1, self._controller.push.cycle)):
            if self._controller.push.enable and not self.faults.silent:
                with self._lock:
                    state = json.dumps(self._controller.state()).encode()
                due.append((time.monotonic() + self.faults.delay, self.faults.garbage or state))
            while due and due[0][0] <= time.monotonic():
                datagram = due.popleft()[1]
                if chance.random() < self.faults.loss:
                    continue
                with contextlib.suppress(OSError):
                    self.push(datagram)
