"""How punctual the real-time service is while a client acts, with and without a learner on the same processors."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from priority import Priority
from processes import working

from dexloop.errors import DexloopError
from dexloop.robot.client import GrpcEnv
from dexloop.sim.control import ACTION_SIZE

HZ = 20.0
LATE = 0.005
"""A control period that ends more than this after its time is late [s]."""
# As ``dexloop train`` gives its learner.
_LEARNER = Priority(nice=5)
_SETTLING = 1.0


def measure_control_rate(
    blocks: int, seconds: float, priority: Priority, *, images: bool, quick: bool
) -> dict[str, Any]:
    """Blocks of ``seconds`` without and with a learner in turn, one episode each; service and client at ``priority``.

    images: two pictures of 64 by 64, rendered by the service, in place of the state alone.
    """
    conditions: dict[str, list[dict[str, Any]]] = {"without a learner": [], "beside a learner": []}
    with ExitStack() as opened:
        service = opened.enter_context(_service(priority, images=images))
        address, said = service
        client = opened.enter_context(working(partial(_act, address), priority))
        learner = opened.enter_context(working(partial(_learn, quick), _LEARNER))
        client.told()
        learner.told()
        updates = 0
        for block in range(2 * blocks):
            name = "beside a learner" if block % 2 else "without a learner"
            if name == "beside a learner":
                learner.line.send("go")
            time.sleep(_SETTLING)
            conditions[name].append(client.ask((block, seconds)))
            if name == "beside a learner":
                updates += learner.ask("rest")
    return {
        "control_hz": HZ,
        "late_ms": 1e3 * LATE,
        "observation": "images" if images else "state",
        "blocks": blocks,
        "seconds_in_a_block": seconds,
        "learner_nice": _LEARNER.nice,
        "learner_updates": updates,
        "conditions": {name: summary(parts) for name, parts in conditions.items()},
        "service_says": said[-1] if said else None,
    }


def summary(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the blocks of one condition.

    late_share: of all control periods that were seen. period_ms: between the ends of neighbouring control periods, on
    the robot's clock. step_ms: between the returns of two steps, at the client. without_action: control periods that
    no action was executed in.
    """
    robot = [np.array(block["robot"]) for block in blocks]
    lateness = [late_by(times) for times in robot]
    late = np.concatenate(lateness)
    periods = np.concatenate([_neighbours(times) for times in robot])
    steps = np.concatenate([np.diff(block["client"]) for block in blocks])
    return {
        "periods": int(late.size),
        "late_share": float((late > LATE).mean()),
        "late_share_by_block": [round(float((block > LATE).mean()), 4) for block in lateness],
        "late_ms": _ms(late),
        "period_ms": _ms(periods),
        "step_ms": _ms(steps),
        "without_action": sum(int(np.rint(np.diff(times) * HZ - 1.0).sum()) for times in robot),
        "faults": [block["fault"] for block in blocks if block["fault"] is not None],
    }


def late_by(times: np.ndarray) -> np.ndarray:
    """How late each control period ended (N,) [s], where the most punctual of an episode ended in time.

    times (N,): when they ended [s]; some may be missing. Due times lie on a grid that does not drift.
    """
    since = times - times[0]
    rest = since - np.rint(since * HZ) / HZ
    return rest - rest.min()


def _neighbours(times: np.ndarray) -> np.ndarray:
    gaps = np.diff(times)
    return gaps[gaps < 1.5 / HZ]


def _ms(seconds: np.ndarray) -> dict[str, float]:
    p50, p99 = np.quantile(seconds, (0.5, 0.99))
    return {"p50": round(1e3 * p50, 3), "p99": round(1e3 * p99, 3), "max": round(1e3 * float(seconds.max()), 3)}


@contextlib.contextmanager
def _service(priority: Priority, *, images: bool) -> Generator[tuple[str, list[str]]]:
    """The command itself: where it listens, and what it says in the end."""
    line = [sys.executable, "-m", "dexloop", "serve", "--robot", "sim", "--real-time", "--bind", "127.0.0.1:0"]
    line += ["--observation", "images" if images else "privileged"]
    line += ["--sim.control-hz", f"{HZ:g}", "--sim.max-seconds", "3600"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, preexec_fn=priority.take) as child:
        assert child.stderr is not None
        said: list[str] = []
        try:
            first = child.stderr.readline()
            if "listening at" not in first:
                raise DexloopError(f"dexloop serve: {first} {child.stderr.read()}")
            yield first.partition("listening at ")[2].partition(";")[0], said
            child.send_signal(signal.SIGINT)
            said += child.communicate(timeout=30)[1].splitlines()
        finally:
            child.kill()


def _act(address: str, line: Connection) -> None:
    """Answers (seed, seconds) with when the control periods of such an episode ended, here and at the robot."""
    env = GrpcEnv(address)
    line.send("ready")
    while True:
        seed, seconds = line.recv()
        rng = np.random.default_rng(seed)
        env.reset(seed=seed)
        robot: list[float] = []
        client: list[float] = []
        fault, until = None, time.monotonic() + seconds
        while fault is None and time.monotonic() < until:
            *_, info = env.step(rng.uniform(-0.2, 0.2, ACTION_SIZE).astype(np.float32))
            fault = info["fault"]
            robot.append(info["robot_time"])
            client.append(time.monotonic())
        line.send({"robot": robot, "client": client, "fault": fault})


def _learn(quick: bool, line: Connection) -> None:
    """The default learner's updates, from "go" to "rest", which it answers with their number."""
    import torch
    from learner_contests import iborl
    from timing import QUICK, Scale

    torch.set_num_threads(1)
    scale = QUICK if quick else Scale(compiled=False)
    update = iborl(scale).contestants[0].run
    update()
    line.send("ready")
    while True:
        line.recv()
        updates = 0
        while not line.poll():
            update()
            updates += 1
        line.recv()
        line.send(updates)
