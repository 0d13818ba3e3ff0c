"""``dexloop serve``: a robot's controller, on a computer that needs no PyTorch."""

from __future__ import annotations

import contextlib
import gc
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import tyro
from threadpoolctl import threadpool_limits
from tyro.conf import arg

from dexloop.end import End
from dexloop.errors import DexloopError, unknown
from dexloop.flags import flags_of_configurations
from dexloop.progress import say
from dexloop.robot.backend import Backend
from dexloop.robot.controller import RealTime
from dexloop.robot.hardware_plant import HardwarePlant
from dexloop.robot.lockstep import Lockstep
from dexloop.robot.look import look as words
from dexloop.robot.open_robot import control_config, hardware_config, open_cameras, open_plant
from dexloop.robot.person import Person
from dexloop.robot.robot_file import RobotFile, read_robot
from dexloop.robot.safety import SafetyLimits
from dexloop.robot.security import ServerSecurity
from dexloop.robot.server import ServiceLog, start_server
from dexloop.robot.simulated_hardware import SimulatedHardware
from dexloop.robot.simulated_plant import SimulatedPlant, control_of
from dexloop.sim.config import SimConfig
from dexloop.sim.env import DexEnv
from dexloop.sim.tasks.base import load_task, task_names

_ROBOTS = ("sim", "rm65-inspire")
_SIM, _SECURITY, _SAFETY = SimConfig(), ServerSecurity(), SafetyLimits()
# Of the simulation's settings, those that a robot has too, and those that its simulated devices have.
_ALWAYS = ("task", "max_seconds", "reset_seconds")
_SIMULATED = ("reset", "saturation", "randomise")
_PLACES: Mapping[str, str] = MappingProxyType(
    {
        "control_hz": "[control] hz",
        "action": "[control] action",
        "limits": "[control] and [workspace]",
        "image_size": "[cameras.*] size",
        "hand_view": "[cameras.*] hand_view",
    }
)
_LOOK_SECONDS = 0.2
# How long a thread may keep the others waiting [s]; a tick is 10 ms, and Python's own 5 ms would be half of it.
_SWITCH_SECONDS = 0.0005
Settings = Annotated[SimConfig, arg(name="sim")]
Guards = Annotated[ServerSecurity, arg(name="security")]
Limits = Annotated[SafetyLimits, arg(name="safety")]


def main(arguments: Sequence[str]) -> int:
    """Run the command; ends with Ctrl-C, a termination signal or its terminal, and then the robot holds."""
    try:
        tyro.cli(serve, prog="dexloop serve", args=list(arguments), registry=flags_of_configurations())
    except DexloopError as error:
        say(f"error: {error}")
        return 1
    return 0


def serve(
    robot: str = "sim",
    config: Path | None = None,
    simulate_hardware: bool = False,
    look: bool = False,
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
        robot: Which one: sim, the simulation; rm65-inspire, an RM65-B arm with an Inspire hand.
        config: The TOML file that describes a rm65-inspire; docs/robot.example.toml has every key.
        simulate_hardware: Serve the devices of that file as simulated ones, which the same drivers talk to.
        look: Only say what the devices of that file measure, without moving anything.
        task: What is on the table.
        bind: HOST:PORT to listen at; any other host than this machine needs TLS and a token.
        observation: What the simulation shows: images, or its state alone, which needs no OpenGL.
        pictures: How they travel: raw, or as JPEG where the network is slow.
        real_time: Time passes in the simulation as it does for a robot; without it, it waits for every action.
        sim: The simulation.
        security: Who may reach it.
        safety: What no action of a simulation can exceed, in real time; a robot's limits stand in its file.
    """
    if robot not in _ROBOTS:
        raise unknown("--robot", robot, _ROBOTS)
    if task not in task_names():
        raise unknown("--task", task, task_names())
    simulation = replace(sim, task=task, observation=observation, privileged=True, end_on_success=False)
    with contextlib.ExitStack() as opened:
        # Threads of numpy's BLAS would spin from one camera's picture to the next: a whole core, for products that take
        # one thread a millisecond.
        opened.enter_context(threadpool_limits(limits=1, user_api="blas"))
        if robot == "sim":
            if config is not None or simulate_hardware or look:
                raise DexloopError("--config, --simulate-hardware and --look are for --robot rm65-inspire")
            if safety != _SAFETY and not real_time:
                raise DexloopError("--safety.* does nothing without --real-time: a simulation that waits has no limits")
            backend = _real_time(simulation, safety) if real_time else Lockstep(DexEnv(simulation))
        else:
            if config is None:
                raise DexloopError(
                    "--robot rm65-inspire needs --config FILE; copy docs/robot.example.toml and fill it in"
                )
            _check_flags(config, simulate_hardware, sim, safety, observation)
            file, plant = _open(config, simulate_hardware, simulation, opened)
            if look:
                print(words(plant))
                plant.close()
                return
            control = control_config(file, load_task(task), sim.max_seconds, sim.reset_seconds)
            asked = file.reset.confirm and not simulate_hardware
            backend = RealTime(plant, control, Person(f"dexloop confirm {bind}") if asked else None)
        opened.callback(backend.close)
        # A look at all that imports leave alive takes the garbage collector 50 ms, in which no device's loop runs.
        gc.collect()
        gc.freeze()
        # Before anybody can move the robot.
        end = End()
        log = ServiceLog()
        server, port = start_server(backend, bind, security, pictures, log)
        host = bind.rpartition(":")[0]
        say(f"{robot}, task {task}: listening at {host}:{port}; Ctrl-C ends it")
        _wait_for_the_end(end, backend, log)
        server.stop(grace=1.0).wait()
        for why, count in log.refused.most_common():
            say(f"{count} actions refused: {why}")
        if isinstance(backend, RealTime):
            timing = backend.timing()
            say(
                f"{timing.periods} control periods, off by {1e3 * timing.jitter_p50:.1f} ms in the median and "
                f"{1e3 * timing.jitter_p99:.1f} ms in the 99th percentile; {timing.late} of {timing.ticks} ticks late"
            )


def _real_time(config: SimConfig, safety: SafetyLimits) -> Backend:
    sys.setswitchinterval(_SWITCH_SECONDS)
    return RealTime(SimulatedPlant(config), control_of(config, safety))


def _open(
    path: Path, simulated: bool, simulation: SimConfig, opened: contextlib.ExitStack
) -> tuple[RobotFile, HardwarePlant]:
    """The robot that a file describes, or its simulated devices; ``opened`` ends these."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    file, task = read_robot(path), load_task(simulation.task)
    config = hardware_config(file, task)
    if not simulated:
        file.check_speeds()
        return file, open_plant(file, config, open_cameras(file))
    if simulation.observation == "privileged":
        file = replace(file, cameras={})
    world = SimulatedHardware(file, config, simulation)
    opened.callback(world.close)
    return file, open_plant(world.file, config, world.cameras, world=world)


def _check_flags(config: Path, simulated: bool, sim: SimConfig, safety: SafetyLimits, observation: str) -> None:
    """Refuse flags that would be ignored: what they say stands in the robot's file, or nobody simulates it."""
    if safety != _SAFETY:
        raise DexloopError(f"--safety.* is for --robot sim; the robot's limits stand in [safety] of {config}")
    if observation != "images" and not simulated:
        raise DexloopError("--observation privileged is for simulations: nobody knows a robot's")
    for field in fields(sim):
        taken = field.name in _ALWAYS or (simulated and field.name in _SIMULATED)
        if not taken and getattr(sim, field.name) != getattr(_SIM, field.name):
            place = _PLACES.get(field.name)
            instead = f"; write {place} in {config}" if place else ""
            raise DexloopError(f"--sim.{field.name.replace('_', '-')} does nothing to --robot rm65-inspire{instead}")


def _wait_for_the_end(end: End, backend: Backend, log: ServiceLog) -> None:
    """Until a signal asks for it; says meanwhile when the robot stops, and why."""
    before: str | None = None
    while not end.wait(_LOOK_SECONDS):
        halted = backend.halted if isinstance(backend, RealTime) else None
        if halted != before:
            policy = f" (policy {log.policy_version})" if log.policy_version else ""
            say(f"{time.strftime('%H:%M:%S')} {f'at rest: {halted}{policy}' if halted else 'armed again'}")
        before = halted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
