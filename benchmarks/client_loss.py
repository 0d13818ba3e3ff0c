"""How soon the robot holds when its client is killed in the middle of a motion."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from control_rate import HZ
from priority import Priority
from processes import Worker, working

from dexloop.robot.client import GrpcEnv
from dexloop.robot.controller import RealTime
from dexloop.robot.plant import Setpoint
from dexloop.robot.security import ServerSecurity
from dexloop.robot.server import start_server
from dexloop.robot.simulated_plant import SimulatedPlant, control_of
from dexloop.sim.config import SimConfig
from dexloop.sim.control import ACTION_SIZE

# Forward and to the side, where nothing is in the way for as long as it lasts.
_WAY = np.zeros(ACTION_SIZE, np.float32)
_WAY[:2] = 0.2
_MOVING = 8
_OBSERVED = 1.0
# Of the speed at the kill; below it the robot brakes, as no limit makes it this slow on the way.
_BRAKING = 0.9
# All joints together, between two setpoints [rad]: a robot that is slower has no motion that could be stopped.
_MOVES = 0.003


class Recorded(SimulatedPlant):
    """Remembers when it was told to be where."""

    def __init__(self, config: SimConfig) -> None:
        self.told: list[tuple[float, np.ndarray]] = []
        super().__init__(config)

    def command(self, setpoint: Setpoint) -> None:
        """Where the next tick leads."""
        self.told.append((time.monotonic(), setpoint.joints))
        super().command(setpoint)


class Watched(RealTime):
    """Remembers when its client was found to be gone."""

    detached = float("nan")

    def detach(self) -> None:
        """Brake and rest."""
        self.detached = time.monotonic()
        super().detach()


def measure_client_loss(kills: int, priority: Priority) -> dict[str, Any]:
    """Kill ``kills`` acting clients, one after the other, at random moments of the control period."""
    rng = np.random.default_rng(0)
    noticed: list[float] = []
    holds: list[float] = []
    rests: list[float] = []
    with ExitStack() as opened:
        service = opened.enter_context(working(_serve, priority))
        port = service.told()
        for seed in range(kills):
            with working(partial(_act, port, seed), priority) as client:
                client.told()
                time.sleep(float(rng.uniform(0.0, 1.0 / HZ)))
                killed = _kill(client)
            time.sleep(_OBSERVED)
            detached, times, joints = service.ask("what happened")
            hold, rest = hold_and_rest(times, joints, killed)
            noticed.append(detached - killed)
            holds.append(hold - killed)
            rests.append(rest - killed)
    return {
        "kills": kills,
        "control_hz": HZ,
        "noticed_ms": _spread(noticed),
        "hold_begins_ms": _spread(holds),
        "at_rest_ms": _spread(rests),
        "hold_begins_periods": round(HZ * max(holds), 3),
        "raw_ms": [[round(1e3 * t, 2) for t in trial] for trial in zip(noticed, holds, rests, strict=True)],
    }


def hold_and_rest(times: np.ndarray, joints: np.ndarray, killed: float) -> tuple[float, float]:
    """When the robot began to brake for good, and when it stood still [s].

    times (N,) [s] and joints (N, 6) [rad]: the setpoints. killed: when the client was [s]. Raises ValueError for a
    robot that did not move then, or that did not come to rest.
    """
    speed = np.abs(np.diff(joints, axis=0)).sum(axis=1)
    when = times[1:]
    cruising = float(speed[when <= killed][-3:].max(initial=0.0))
    moving = np.flatnonzero(speed > 1e-9)
    if cruising < _MOVES or moving[-1] + 1 >= len(speed):
        raise ValueError("the robot did not move when its client was killed, or does not rest")
    still = int(moving[-1]) + 1
    braking = still
    while speed[braking - 1] < _BRAKING * cruising:
        braking -= 1
    return float(when[braking]), float(when[still])


def _kill(client: Worker) -> float:
    at = time.monotonic()
    client.process.kill()
    return at


def _spread(seconds: list[float]) -> dict[str, float]:
    return {
        "median": round(1e3 * float(np.median(seconds)), 2),
        "min": round(1e3 * min(seconds), 2),
        "max": round(1e3 * max(seconds), 2),
    }


def _serve(line: Connection) -> None:
    config = SimConfig(task="cup", observation="privileged", control_hz=HZ, max_seconds=3600.0)
    plant = Recorded(config)
    backend = Watched(plant, control_of(config))
    _, port = start_server(backend, "127.0.0.1:0", ServerSecurity())
    line.send(port)
    while True:
        line.recv()
        told, plant.told = plant.told, []
        times = np.array([at for at, _ in told])
        line.send((backend.detached, times, np.stack([joints for _, joints in told])))


def _act(port: int, seed: int, line: Connection) -> None:
    env = GrpcEnv(f"127.0.0.1:{port}")
    env.reset(seed=seed)
    steps = 0
    while True:
        info = env.step(_WAY)[4]
        assert info["fault"] is None, info["fault"]
        steps += 1
        if steps == _MOVING:
            line.send("moving")
