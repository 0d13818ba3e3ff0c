"""``dexloop serve``: a robot's controller, on a computer that needs no PyTorch."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import tyro
from tyro.conf import arg

from dexloop.errors import DexloopError, unknown
from dexloop.flags import flags_of_configurations
from dexloop.progress import say
from dexloop.robot.backend import Backend
from dexloop.robot.controller import RealTime
from dexloop.robot.lockstep import Lockstep
from dexloop.robot.safety import SafetyLimits
from dexloop.robot.security import ServerSecurity
from dexloop.robot.server import start_server
from dexloop.robot.simulated_plant import SimulatedPlant, control_of
from dexloop.sim.config import SimConfig
from dexloop.sim.env import DexEnv
from dexloop.sim.tasks.base import task_names

_NAME = "sim"
_SIM, _SECURITY, _SAFETY = SimConfig(), ServerSecurity(), SafetyLimits()
# How long a thread may keep the others waiting [s]; a tick is 10 ms, and Python's own 5 ms would be half of it.
_SWITCH_SECONDS = 0.0005
Settings = Annotated[SimConfig, arg(name="sim")]
Guards = Annotated[ServerSecurity, arg(name="security")]
Limits = Annotated[SafetyLimits, arg(name="safety")]


def main(arguments: Sequence[str]) -> int:
    """Run the command; ends with Ctrl-C or a termination signal, and then the robot holds."""
    try:
        tyro.cli(serve, prog="dexloop serve", args=list(arguments), registry=flags_of_configurations())
    except DexloopError as error:
        say(f"error: {error}")
        return 1
    return 0


def serve(
    robot: str = _NAME,
    task: str = "cup",
    bind: str = "127.0.0.1:50051",
    observation: Literal["images", "privileged"] = "images",
    pictures: Literal["raw", "jpeg"] = "raw",
    real_time: bool = False,
    sim: Settings = _SIM,
    security: Guards = _SECURITY,
    safety: Limits = _SAFETY,
) -> None:
    """Serve a robot to one client at a time; train on it with: dexloop run TASK --robot grpc://127.0.0.1:50051.

    Args:
        robot: Which one: sim, the simulation.
        task: What is on the table of the simulation.
        bind: HOST:PORT to listen at; any other host than this machine needs TLS and a token.
        observation: What the simulation shows: images, or its state alone, which needs no OpenGL.
        pictures: How they travel: raw, or as JPEG where the network is slow.
        real_time: Time passes in the simulation as it does for a robot; without it, it waits for every action.
        sim: The simulation.
        security: Who may reach it.
        safety: What no action can exceed, in real time.
    """
    if robot != _NAME:
        raise unknown("--robot", robot, [_NAME])
    if task not in task_names():
        raise unknown("--task", task, task_names())
    config = replace(sim, task=task, observation=observation, privileged=True, end_on_success=False)
    backend = _real_time(config, safety) if real_time else Lockstep(DexEnv(config))
    server, port = start_server(backend, bind, security, pictures)
    host = bind.rpartition(":")[0]
    say(f"{robot}, task {task}: listening at {host}:{port}; Ctrl-C ends it")
    _wait_for_the_end()
    server.stop(grace=1.0).wait()
    if isinstance(backend, RealTime):
        timing = backend.timing()
        say(
            f"{timing.periods} control periods, off by {1e3 * timing.jitter_p50:.1f} ms in the median and "
            f"{1e3 * timing.jitter_p99:.1f} ms in the 99th percentile; {timing.late} of {timing.ticks} ticks late"
        )
    backend.close()


def _real_time(config: SimConfig, safety: SafetyLimits) -> Backend:
    sys.setswitchinterval(_SWITCH_SECONDS)
    return RealTime(SimulatedPlant(config), control_of(config, safety))


def _wait_for_the_end() -> None:
    ended = threading.Event()

    def end(number: int, frame: object) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    ended.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
