"""A robot file served without a robot: drivers, bytes, simulated devices and one MuJoCo scene behind them all."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.robot.test_controller import Driver, check_limits

from dexloop import DexloopError
from dexloop.operators.scripted import CLEAN, ScriptedOperator
from dexloop.robot.backend import Sample
from dexloop.robot.client import GrpcEnv
from dexloop.robot.controller import RealTime
from dexloop.robot.look import look
from dexloop.robot.open_robot import control_config, hardware_config, open_plant
from dexloop.robot.plant import Setpoint
from dexloop.robot.robot_file import RobotFile, read_robot
from dexloop.robot.security import ServerSecurity
from dexloop.robot.server import start_server
from dexloop.robot.simulated_hardware import SimulatedHardware
from dexloop.serve import main
from dexloop.sim.config import SimConfig
from dexloop.sim.state import PRIVILEGED_SIZE
from dexloop.sim.tasks.base import load_task
from dexloop.types import FloatArray, Observation

# A busy machine delays ticks and answers, which is no fault of what is tested here.
PATIENT = """
[arm]
host = "192.0.2.1"
[safety]
overrun = 5.0
stale = 2.0
frozen = 5.0
[reset]
confirm = true
speed = 60.0
"""
EB90 = '[hand]\ntransport = "eb90"\ndevice = "/dev/nothing"\ntimeout = 0.5\n'
CHEST = '[cameras.chest]\nkind = "realsense"\nserial = "0"\nsize = [48, 64]\n'
TASK = load_task("cup")
UP = np.array([0.0, 0.0, 0.8, 0.0, 0.0, 0.0] + [-1.0] * 5 + [0.7], np.float32)
STILL = UP * np.array([0.0] * 6 + [1.0] * 6, np.float32)


@pytest.fixture
def described(tmp_path: Path) -> Callable[[str], RobotFile]:
    def read(text: str) -> RobotFile:
        path = tmp_path / "robot.toml"
        path.write_text(PATIENT + text, encoding="utf-8")
        return read_robot(path)

    return read


class Robot:
    """Simulated devices with their drivers and a controller, and every setpoint that the plant was given."""

    def __init__(self, file: RobotFile) -> None:
        config = hardware_config(file, TASK)
        self.world = SimulatedHardware(file, config, SimConfig(reset="random"))
        self.plant = open_plant(self.world.file, config, self.world.cameras, world=self.world)
        self.path: list[FloatArray] = []
        give = self.plant.command

        def command(setpoint: Setpoint) -> None:
            give(setpoint)
            self.path.append(np.concatenate([setpoint.joints, setpoint.fingers]))

        self.plant.command = command  # type: ignore[method-assign]
        self.backend = RealTime(self.plant, control_config(file, TASK, None, 3.0))


@contextlib.contextmanager
def running(file: RobotFile) -> Iterator[Robot]:
    robot = Robot(file)
    try:
        yield robot
    finally:
        robot.backend.close()
        robot.world.close()


def take_the_cup(driver: Driver, seed: int) -> Sample:
    """The last sample of an episode of the scripted operator."""
    sample, operator = driver.reset(seed), ScriptedOperator(SimConfig(), CLEAN)
    operator.reset(seed)
    while not (sample.truncated or sample.fault or (sample.truth and sample.truth.success)):
        assert sample.truth is not None
        wanted = operator.poll(Observation(sample.proprio, {}, sample.truth.privileged)).action
        assert wanted is not None
        sample = driver.step(wanted)
    return sample


@pytest.mark.slow
def test_scripted_operator_takes_the_cup_through_every_wire(described: Callable[[str], RobotFile]) -> None:
    with running(described(EB90)) as robot:
        server, port = start_server(robot.backend, "127.0.0.1:0", ServerSecurity())
        env, operator = GrpcEnv(f"127.0.0.1:{port}"), ScriptedOperator(SimConfig(), CLEAN)
        successes, executed, felt = 0, list[FloatArray](), 0.0
        for seed in range(3):
            seen = env.reset(seed=seed)[0]
            operator.reset(seed)
            success = over = False
            while not (success or over):
                wanted = operator.poll(Observation(seen["proprio"], {}, seen["privileged"])).action
                assert wanted is not None
                seen, reward, _, over, info = env.step(wanted)
                executed.append(info["executed"])
                felt = max(felt, float(robot.plant.state().force.max()))
                success, over = bool(reward), over or info["fault"] is not None
            successes += success
        env.close()
        server.stop(0).wait()
        path, tick, safety = np.array(robot.path), robot.plant.tick, described(EB90).safety
        ignored = robot.world.arm.ignored_frames
    assert successes >= 2
    assert np.abs(executed).max() <= 1.0 and np.abs(np.array(executed)[:, :3]).max() > 0.3
    check_limits(path, tick, safety)
    assert ignored == 0, "the arm followed every target"
    assert 1.0 < felt < safety.highest_force, "what the fingers press in the scene is in the hand's registers"


@pytest.mark.parametrize(
    "hand",
    [
        EB90,
        EB90.replace("eb90", "modbus-rtu") + "id = 7\n",
        '[hand]\ntransport = "modbus-tcp"\ntimeout = 0.5\n',
        '[hand]\ntransport = "arm-relay"\n',
        EB90 + "open = [980, 990, 1000, 950, 1000, 900]\nclosed = [20, 30, 40, 10, 400, 100]\n",
    ],
)
def test_what_is_measured_is_where_the_scene_is(described: Callable[[str], RobotFile], hand: str) -> None:
    with running(described(hand)) as robot:
        driver = Driver(robot.backend)
        driver.reset(1)
        for _ in range(6):
            assert driver.step(UP).fault is None
        half = STILL.copy()
        half[6:11] = 0.0
        for _ in range(12):
            sample = driver.step(half)
        state, scene = robot.plant.state(), robot.world.robot
        np.testing.assert_allclose(state.joints, scene.joints(), atol=2e-3)
        np.testing.assert_allclose(state.fingers, scene.fingers(), atol=5e-3)
        np.testing.assert_allclose(state.fingers[:5], 0.5, atol=0.02)
        assert sample.proprio[2] == pytest.approx(6 * 0.8 * 0.025, abs=0.03)
        # Contacts may keep a finger away from its target; nothing is in the way here.
        np.testing.assert_allclose(state.force, 0.0, atol=0.3)


def test_a_person_puts_the_object_where_the_seed_says_and_leaves_the_robot_alone(
    described: Callable[[str], RobotFile],
) -> None:
    with running(described(EB90)) as robot:
        driver, places = Driver(robot.backend), list[FloatArray]()
        for seed in (1, 2, 1):
            for _ in range(3):
                driver.step(UP) if places else None
            driver.reset(seed)
            before = robot.world.robot.joints()
            places.append(robot.world.robot.state().object_position[:2])
            time.sleep(0.1)
            np.testing.assert_allclose(robot.world.robot.joints(), before, atol=5e-3)
        np.testing.assert_allclose(places[0], places[2], atol=1e-3)
        assert np.linalg.norm(np.subtract(places[0], places[1])) > 0.005


def test_fingers_that_pressed_too_hard_let_go_when_the_robot_is_rearmed(
    described: Callable[[str], RobotFile],
) -> None:
    file = described(EB90 + "speed = 1.0\nforce = 3.0\n")
    file = replace(file, safety=replace(file.safety, force=4.0, highest_force=5.0, contact_share=1.0))
    with running(file) as robot:
        driver = Driver(robot.backend)
        fault = take_the_cup(driver, 0).fault
        assert fault is not None and "presses with" in fault
        robot.backend.rearm()
        assert driver.reset(1).fault is None
        assert driver.step(STILL).fault is None


def test_a_hand_that_is_mounted_otherwise_than_the_simulated_one_is_refused(
    described: Callable[[str], RobotFile],
) -> None:
    for other in ("turn = 90.0\n", "end_effector = [0.0, 0.0, 0.2]\n"):
        file = described(EB90 + other)
        with pytest.raises(DexloopError, match="the simulated hand has turn = 180"):
            SimulatedHardware(file, hardware_config(file, TASK), SimConfig())


def test_everything_ends_with_close(described: Callable[[str], RobotFile]) -> None:
    with running(described(EB90)) as robot:
        assert robot.backend.spec.observation.privileged == PRIVILEGED_SIZE
        port = robot.world.arm.port
    robot.world.close()
    with pytest.raises(DexloopError, match="cannot be reached"):
        open_plant(robot.world.file, hardware_config(robot.world.file, TASK), [])
    assert port == robot.world.file.arm.port


@pytest.mark.gl
def test_cameras_see_the_scene_that_the_arm_moves_in(described: Callable[[str], RobotFile]) -> None:
    with running(described(EB90 + CHEST)) as robot:
        assert robot.backend.spec.observation.cameras == {"chest": (48, 64)}
        driver = Driver(robot.backend)
        first = driver.reset(1).images["chest"]
        for _ in range(5):
            driver.step(UP)
        sample = driver.step(UP)
        last = sample.images["chest"]
        assert last.counter > first.counter + 3 and sample.fault is None
        assert time.monotonic() - last.seconds < 2.0
        moved = np.abs(last.image.astype(int) - first.image.astype(int)).max(axis=2) > 40
        assert 0.01 < moved.mean() < 0.6


@pytest.mark.gl
def test_a_look_says_what_every_device_measures(described: Callable[[str], RobotFile]) -> None:
    with running(described(EB90 + CHEST)) as robot:
        said = look(robot.plant)
        x, y, z = TASK.ee_position
        assert f"end effector [m, world]: {x:.2f}" in said and f"{y:.2f}" in said and f"{z:.1f}" in said
        assert "index: closed 0.0" in said and "30 °C" in said
        assert "camera chest: 48 x 64 pixels" in said and said.endswith("fault: none")
        assert math.isclose(robot.plant.tick, 0.02)


@pytest.mark.gl
def test_simulated_cameras_take_pictures_at_the_rate_of_their_mode(described: Callable[[str], RobotFile]) -> None:
    head = CHEST.replace("chest", "head").replace('"0"', '"1"')
    with running(described(EB90 + CHEST + "fps = 5\n" + head + "fps = 20\n")) as robot:
        cameras = {camera.name: camera for camera in robot.world.cameras}
        before = {name: camera.read() for name, camera in cameras.items()}
        time.sleep(2.0)
        after = {name: camera.read() for name, camera in cameras.items()}
    for name, fps in (("chest", 5.0), ("head", 20.0)):
        seconds = after[name].seconds - before[name].seconds
        assert 4 <= after[name].counter - before[name].counter <= 1 + fps * seconds, name


def test_the_command_looks_at_a_file_without_cameras(
    described: Callable[[str], RobotFile], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described(EB90)
    words = ["--robot", "rm65-inspire", "--config", str(tmp_path / "robot.toml"), "--simulate-hardware", "--look"]
    assert main(words) == 0
    assert "joints [degrees]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--robot rm65-inspire", "needs --config FILE"),
        ("--robot rm65-inspire --config FILE --safety.force 3", "limits stand in [safety] of"),
        ("--robot rm65-inspire --config FILE --sim.control-hz 20", "write [control] hz in"),
        ("--robot rm65-inspire --config FILE --sim.reset random", "--sim.reset does nothing"),
        ("--robot rm65-inspire --config FILE --observation privileged", "is for simulations"),
        ("--robot rm65-inspire --config FILE", "gives no joint_speed, point_speed, contact_speed, finger_speed"),
        ("--robot sim --safety.force 3", "does nothing without --real-time"),
        ("--robot sim --config FILE", "are for --robot rm65-inspire"),
        ("--robot rm65-inspir", "did you mean rm65-inspire?"),
    ],
)
def test_the_command_refuses_what_it_would_ignore(
    described: Callable[[str], RobotFile],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: str,
    why: str,
) -> None:
    described(EB90)
    assert main(words.replace("FILE", str(tmp_path / "robot.toml")).split()) == 1
    assert why in " ".join(capsys.readouterr().err.split())
