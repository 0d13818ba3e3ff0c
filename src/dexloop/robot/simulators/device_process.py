"""Simulated devices in a process of their own, so that a controller can lose them as it would lose real ones.

    python -m dexloop.robot.simulators.device_process robot.toml --socket devices.sock --journal devices.rows

serves arm and hand of the file (a hand on Modbus-TCP or on the arm) and prints where they are as one line of JSON. At
the socket it takes lines of JSON, {"do": ..., ...}, and answers each with one: what a person beside the robot would do
or see, and faults. Cameras are not served. It ends with SIGTERM, or when its standard input ends.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dexloop.errors import DexloopError
from dexloop.robot.open_robot import hardware_config
from dexloop.robot.robot_file import read_robot
from dexloop.robot.simulated_hardware import SimulatedHardware
from dexloop.robot.simulators.journal import MEASURED, TARGET, Journal
from dexloop.sim.config import SimConfig
from dexloop.sim.tasks.base import load_task

_TIMEOUT = 2.0


def ask(path: Path, do: str, **words: Any) -> dict[str, Any]:
    """Have the process that listens at ``path`` do something; its answer.

    do: put (seed: of where the object is put), truth (answer: privileged, success, holding), arm (silent, delay, loss:
    see ``realman.Faults``), arm_error (joint, code: 0 for none), cut_arm, temperature (finger, celsius), hand_error
    (finger, bits), jam (finger, jammed). Raises DexloopError where nobody answers within 2 s, and for what it cannot
    do.
    """
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_TIMEOUT)
            line.connect(str(path))
            line.sendall(json.dumps({"do": do, **words}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(line.makefile("rb").readline())
    except (OSError, ValueError) as error:
        raise DexloopError(f"the simulated devices at {path} do not answer: {error!r}") from None
    if "error" in answer:
        raise DexloopError(f"the simulated devices cannot {do}: {answer['error']}")
    return answer


def main(arguments: Sequence[str]) -> int:
    """Serve until the end; see the module."""
    parser = argparse.ArgumentParser(description="Simulated devices in a process of their own.")
    parser.add_argument("file", type=Path, help="the robot file")
    parser.add_argument("--task", default="cup", help="what is on the table")
    parser.add_argument("--socket", type=Path, required=True, help="where to listen for what shall happen")
    parser.add_argument("--journal", type=Path, required=True, help="rows of what was measured and received")
    given = parser.parse_args(arguments)
    file = replace(read_robot(given.file), cameras={})
    if file.hand.transport in ("eb90", "modbus-rtu"):
        raise DexloopError("a serial port cannot be found by another process: use modbus-tcp or arm-relay")
    simulation = SimConfig(task=given.task, reset="random")
    world = SimulatedHardware(file, hardware_config(file, load_task(given.task)), simulation)
    journal = Journal(given.journal)
    world.robot.before_each_tick(lambda: _note(world, journal))
    with contextlib.closing(world), _listening(given.socket, world):
        found = world.file
        print(json.dumps({"arm": found.arm.port, "hand": [found.hand.host, found.hand.port]}), flush=True)
        sys.stdin.read()
    return 0


def _note(world: SimulatedHardware, journal: Journal) -> None:
    """In the thread of the physics: where the robot is, and what the arm was told meanwhile."""
    robot, received = world.robot, world.arm.received
    while received:
        seconds, line = received.popleft()
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            message = json.loads(line)
            if message["command"] == "movej_canfd":
                journal.note(seconds, TARGET, [math.radians(value / 1e3) for value in message["joint"]])
    journal.note(time.monotonic(), MEASURED, [*robot.joints().tolist(), *robot.fingers().tolist()])


@contextlib.contextmanager
def _listening(path: Path, world: SimulatedHardware) -> Generator[None]:
    """Answer whoever asks, in threads of their own."""
    actions = _actions(world)

    class Line(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(json.dumps(_answer(actions, line)).encode() + b"\n")

    path.unlink(missing_ok=True)
    server = socketserver.ThreadingUnixStreamServer(str(path), Line)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _answer(actions: Mapping[str, Callable[..., dict[str, Any] | None]], line: bytes) -> dict[str, Any]:
    try:
        words = json.loads(line)
        return actions[words.pop("do")](**words) or {}
    except Exception as error:  # who asked is told, and the devices go on
        return {"error": repr(error)}


def _actions(world: SimulatedHardware) -> Mapping[str, Callable[..., dict[str, Any] | None]]:
    def put(seed: int) -> None:
        world.put_object(seed)

    def truth() -> dict[str, Any]:
        told = world.truth()
        return {"privileged": told.privileged.tolist(), "success": told.success, "holding": told.holding}

    def arm(silent: bool = False, delay: float = 0.0, loss: float = 0.0) -> None:
        faults = world.arm.faults
        faults.silent, faults.delay, faults.loss = silent, delay, loss

    def arm_error(joint: int, code: int) -> None:
        world.arm.errors.joints[joint] = code

    return {
        "put": put,
        "truth": truth,
        "arm": arm,
        "arm_error": arm_error,
        "cut_arm": world.arm.cut,
        "temperature": world.hand.set_temperature,
        "hand_error": world.hand.set_error,
        "jam": world.hand.jam,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
