"""How long an action and its answer with two pictures take, through dexloop and through what one would write first."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from bare_servers import grpc_exchange, http_exchange, serve_grpc, serve_http
from prepared import ACTION, SIZE, PreparedRobot, action_bytes, observation_bytes
from priority import Priority
from processes import Worker, working

from dexloop.robot.client import GrpcEnv
from dexloop.robot.messages import ImageForm
from dexloop.robot.security import ServerSecurity
from dexloop.robot.server import start_server

Serve = Callable[[Callable[[int], None]], None]
Connect = Callable[[int], Callable[[], object]]
_WARM_UP = 20
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def serve_dexloop(form: ImageForm, announce: Callable[[int], None]) -> None:
    """The service itself, before a robot that costs nothing."""
    server, port = start_server(PreparedRobot(), "127.0.0.1:0", ServerSecurity(), form)
    announce(port)
    server.wait_for_termination()


def step_dexloop(port: int) -> Callable[[], object]:
    """A call of ``step`` of the environment that a policy sees: pictures as arrays at its end."""
    env = GrpcEnv(f"127.0.0.1:{port}")
    env.reset(seed=0)

    def step() -> object:
        seen, *_, info = env.step(ACTION)
        assert info["fault"] is None, info["fault"]
        return seen

    return step


def measure_round_trips(blocks: int, trips: int, priority: Priority) -> dict[str, Any]:
    """Let the contestants take turns: in each of ``blocks`` rounds ``trips`` round trips each, after some untimed ones.

    Every contestant has a server process and a client process, all at ``priority``; nobody works while another is
    measured.
    """
    raw, jpeg = observation_bytes("raw"), observation_bytes("jpeg")
    action = action_bytes()
    contestants: dict[str, tuple[Serve, Connect]] = {
        "dexloop, raw": (partial(serve_dexloop, "raw"), step_dexloop),
        "dexloop, JPEG": (partial(serve_dexloop, "jpeg"), step_dexloop),
        "bare gRPC stream": (partial(serve_grpc, raw), partial(grpc_exchange, action=action)),
        "HTTP/1.1": (partial(serve_http, raw), partial(http_exchange, action=action)),
    }
    with ExitStack() as opened:
        clients: dict[str, Worker] = {}
        for name, (serve, connect) in contestants.items():
            port = opened.enter_context(working(partial(_serve, serve), priority)).told()
            clients[name] = opened.enter_context(working(partial(_act, connect, port), priority))
        for client in clients.values():
            client.told()
        times: dict[str, list[list[float]]] = {name: [] for name in clients}
        for block in range(blocks):
            # Whoever follows whom must not be always the same.
            for name in list(clients) if block % 2 == 0 else reversed(clients):
                times[name].append(clients[name].ask(trips))
    return {
        "pictures": [2, SIZE, SIZE, 3],
        "bytes": {"action": len(action), "observation_raw": len(raw), "observation_jpeg": len(jpeg)},
        "blocks": blocks,
        "trips_in_a_block": trips,
        "contestants": {name: summary(rounds) for name, rounds in times.items()},
    }


def summary(rounds: list[list[float]]) -> dict[str, Any]:
    """Milliseconds from seconds, block by block.

    median_block: the median over the blocks of each one's quantiles. all_trips: quantiles of all of them together.
    """
    blocks = [_quantiles(block) for block in rounds]
    return {
        "median_block": {name: float(np.median([block[name] for block in blocks])) for name in QUANTILES},
        "all_trips": _quantiles([trip for block in rounds for trip in block]),
        "blocks": blocks,
    }


def _quantiles(trips: list[float]) -> dict[str, float]:
    return {name: round(1e3 * float(np.quantile(trips, share)), 4) for name, share in QUANTILES.items()}


def _serve(serve: Serve, line: Connection) -> None:
    serve(line.send)


def _act(connect: Connect, port: int, line: Connection) -> None:
    exchange = connect(port)
    exchange()
    line.send("ready")
    while True:
        trips = int(line.recv())
        for _ in range(min(_WARM_UP, trips)):
            exchange()
        times: list[float] = []
        for _ in range(trips):
            began = time.perf_counter()
            exchange()
            times.append(time.perf_counter() - began)
        line.send(times)
