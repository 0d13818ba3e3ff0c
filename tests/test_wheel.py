"""What is published works: the wheel, made from the source archive and installed on its own, runs the whole way; with
the robot's extra alone it is a controller.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dexloop.config import RunConfig
from dexloop.episode import run_episode
from dexloop.gates.human import HumanGate
from dexloop.operators.idle import StillPolicy
from dexloop.operators.scripted import CLEAN, ScriptedOperator
from dexloop.pipeline.robots import open_robot, sim_config
from dexloop.rewards.environment import EnvironmentReward
from dexloop.robot.client import GrpcEnv
from tests.serving import ended, serving

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def environment() -> dict[str, str]:
    """The variables of this process, without the one that would have the source found instead of the wheel."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def attempt(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=840
    )


def run(*command: str | Path, cwd: Path) -> str:
    done = attempt(*command, cwd=cwd)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", directory / "dist", ROOT, cwd=directory)
    (wheel,) = (directory / "dist").glob("dexloop-*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts directory of an environment with the wheel, and this environment's other packages."""
    directory = tmp_path_factory.mktemp("installed")
    venv.create(directory / "env", with_pip=True)
    scripts = directory / "env" / "bin"
    run(scripts / "python", "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=directory)
    # Path lines in a .pth add packages but not their .pth files, so that an editable dexloop stays out of sight.
    (site,) = (directory / "env" / "lib").glob("python*/site-packages")
    others = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (site / "others.pth").write_text("\n".join(others), encoding="utf-8")
    return scripts


@pytest.fixture(scope="module")
def controller(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The scripts directory of an environment with the wheel and what its extra ``robot`` brings, and nothing else.

    Skips where pip reaches no packages, and only there: that an extra cannot be installed is what it is to find out.
    """
    directory = tmp_path_factory.mktemp("controller")
    # With this environment's pip (22.3 or later): to give it one of its own takes as long as half of all the rest.
    venv.create(directory / "env", with_pip=False)
    python = directory / "env" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    # As the Makefile does, which hands PIP_ARGS on. Compiling all of it would take longer than the tests.
    flags = ("--no-compile", "-c", ROOT / "constraints.txt", *shlex.split(os.environ.get("PIP_ARGS", "")))
    done = attempt(*pip, "install", *flags, f"{wheel}[robot]", cwd=directory)
    if done.returncode != 0:
        little = attempt(*pip, "download", "--no-deps", "--no-cache-dir", "threadpoolctl", cwd=directory)
        if little.returncode != 0:
            pytest.skip(f"pip cannot fetch packages here: {little.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stdout + done.stderr
    yield python.parent
    # Some 400 MB, of which pytest would keep three generations.
    shutil.rmtree(directory)


def test_the_installed_copy_is_the_one_that_runs(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import dexloop; print(dexloop.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert "run" in run(installed / "dexloop", "--help", cwd=tmp_path)


@pytest.mark.gl
def test_the_whole_way_from_the_installed_copy(installed: Path, tmp_path: Path) -> None:
    out = tmp_path / "cup"
    run(installed / "dexloop", "run", "cup", "--preset", "smoke", "--out", out, cwd=tmp_path)
    evaluation = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert {"demonstrations", "bc", "iborl"} <= {entry["policy"] for entry in evaluation}
    assert all(0 <= entry["successes"] <= entry["trials"] for entry in evaluation)
    assert "<html" in (out / "report.html").read_text(encoding="utf-8").lower()


def test_the_robots_extra_brings_no_pytorch(controller: Path, tmp_path: Path) -> None:
    found = attempt(controller / "python", "-c", "import torch", cwd=tmp_path)
    assert found.returncode == 1 and "ModuleNotFoundError: No module named 'torch'" in found.stderr
    where = run(controller / "python", "-c", "import dexloop; print(dexloop.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(controller.parent)


@pytest.mark.parametrize("observation", ["privileged", pytest.param("images", marks=pytest.mark.gl)])
def test_a_controller_without_pytorch_serves_a_whole_episode(controller: Path, observation: str) -> None:
    """The scripted operator here takes the cup of the simulation there, in the loop that everything runs in."""
    words = ("--robot", "sim", "--task", "cup", "--observation", observation, "--pictures", "jpeg")
    config = replace(RunConfig(), observation=observation, reward="simulation")
    with serving(*words, program=[controller / "dexloop"], environment=environment()) as (child, address):
        robot = open_robot(replace(config, robot=f"grpc://{address}"))
        try:
            spec, operator = robot.spec, ScriptedOperator(sim_config(config), CLEAN)
            episode = run_episode(robot, StillPolicy(spec), EnvironmentReward(), HumanGate(), seed=0, operator=operator)
        finally:
            robot.close()
        assert ended(child) == "", "no action was refused, and nothing went wrong"
    assert episode.valid and episode.success and episode.true_success, episode.info
    steps = episode.transitions
    clock = spec.observation.proprio_names.index("remaining_time")
    left = [step.next_observation.proprio[clock] for step in steps]
    # The task's clock counts the actions that were executed: each of them, and each once.
    np.testing.assert_allclose(left, 1.0 - np.arange(1, len(steps) + 1) / spec.max_steps, atol=1e-6)
    for step in steps:
        assert np.isfinite(step.next_observation.proprio).all() and np.isfinite(step.executed).all()
        pictures = {camera: image.shape for camera, image in step.next_observation.images.items()}
        assert pictures == {camera: (*size, 3) for camera, size in spec.observation.cameras.items()}
    assert bool(spec.observation.cameras) is (observation == "images")
    assert any(np.abs(step.executed[:6]).max() > 0.5 for step in steps), "the arm moves"


def test_a_controller_without_pytorch_keeps_time(controller: Path) -> None:
    words = ("--robot", "sim", "--task", "cup", "--observation", "privileged", "--real-time", "--sim.control-hz", "5")
    # A busy machine delays ticks and answers, which is no fault of what is tested here.
    words = (*words, "--safety.overrun", "5")
    forward = np.array([0.4] + [0.0] * 5 + [-1.0] * 5 + [0.7], np.float32)
    with serving(*words, program=[controller / "dexloop"], environment=environment()) as (child, address):
        env = GrpcEnv(address)
        names = env.robot_spec.observation.proprio_names
        first, told = env.reset(seed=0)
        times, seen = [told["robot_time"]], first
        for _ in range(8):
            seen, _, terminated, truncated, told = env.step(forward)
            assert told["fault"] is None and not terminated and not truncated
            assert told["executed"][0] > 0.0 and np.isfinite(seen["proprio"]).all()
            times.append(told["robot_time"])
        env.close()
        said = ended(child, signal.SIGTERM)
    clock = names.index("remaining_time")
    assert seen["proprio"][clock] == pytest.approx(first["proprio"][clock] - 8 / env.robot_spec.max_steps, abs=1e-6)
    # Only the first may begin in mid-period: each waits for the end of the one before.
    assert (np.diff(times) > 0.0).all()
    assert times[-1] - times[0] > 7 * 0.9 / env.robot_spec.control_hz
    closing = re.fullmatch(r"(\d+) control periods, off by [\d.]+ ms in the median and .* ticks late\n", said)
    assert closing and int(closing.group(1)) >= 8, said
