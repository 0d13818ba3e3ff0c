"""A run's policies on another robot than the run's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dexloop.cli import main
from dexloop.robot.lockstep import Lockstep
from dexloop.robot.security import ServerSecurity
from dexloop.robot.server import start_server
from dexloop.sim.config import SimConfig
from dexloop.sim.env import DexEnv

Failing = Callable[..., str]


def served(**changes: Any) -> Iterator[str]:
    config = SimConfig(observation="privileged", privileged=True, end_on_success=False, max_seconds=7.0, **changes)
    backend = Lockstep(DexEnv(config))
    server, port = start_server(backend, "127.0.0.1:0", ServerSecurity())
    yield f"grpc://127.0.0.1:{port}"
    server.stop(0).wait()
    backend.close()


@pytest.fixture
def robot() -> Iterator[str]:
    yield from served()


@pytest.fixture
def faster_robot() -> Iterator[str]:
    yield from served(control_hz=20.0)


def entries(run: Path) -> dict[str, dict[str, Any]]:
    return {entry["policy"]: entry for entry in json.loads((run / "evaluation.json").read_text())}


def test_the_same_trials_on_the_same_robot_behind_a_controller(tiny_run: Path, robot: str) -> None:
    main(["evaluate", str(tiny_run), "--trials", "2"])
    assert main(["evaluate", str(tiny_run), "--robot", robot, "--trials", "2"]) == 0
    found = entries(tiny_run)
    for policy in ("bc", "iborl"):
        here, there = found[policy], found[f"{policy} on sim"]
        assert there["trials"] == 2 and there["judged_by"] == "simulation"
        assert there["steps"] == here["steps"] and there["robot_minutes"] == here["robot_minutes"]
    assert json.loads((tiny_run / "config.json").read_text())["config"]["robot"] == "sim"


def test_a_robot_of_another_kind_is_refused(failing: Failing, tiny_run: Path, faster_robot: str) -> None:
    before = entries(tiny_run)
    line = failing("evaluate", tiny_run, "--robot", faster_robot)
    assert "control rate [Hz] is 10.0, the robot's is 20.0" in line
    assert entries(tiny_run) == before


def test_a_person_judges_at_the_keyboard_whoever_demonstrated(failing: Failing, tiny_run: Path, robot: str) -> None:
    line = failing("evaluate", tiny_run, "--robot", robot, "--judge", "person", "--trials", "1")
    assert "keyboard needs a terminal" in line


def test_flags_that_do_not_go_together_are_named(failing: Failing, tiny_run: Path) -> None:
    assert "--blank" in failing("evaluate", tiny_run, "--robot", "sim", "--blank")
    assert "--judge" in failing("evaluate", tiny_run, "--judge", "person")
    assert "--robot simm" in failing("evaluate", tiny_run, "--robot", "simm")
