"""A controller for which time passes: whatever a client does or leaves undone, the robot moves within its limits."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import queue
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.serving import Child, ended, serving

from dexloop import DexloopError
from dexloop.operators.scripted import CLEAN, ScriptedOperator
from dexloop.robot.backend import Command, Sample
from dexloop.robot.client import GrpcEnv
from dexloop.robot.controller import RealTime
from dexloop.robot.devices import DeviceError, Frame
from dexloop.robot.motion import Motion
from dexloop.robot.plant import PlantState, Setpoint, tick_for
from dexloop.robot.safety import SafetyLimits
from dexloop.robot.security import ServerSecurity
from dexloop.robot.server import start_server
from dexloop.robot.simulated_plant import SimulatedPlant, control_of
from dexloop.sim.config import SimConfig
from dexloop.sim.control import ActionCodec, ControlLimits
from dexloop.sim.env import DexEnv
from dexloop.sim.servo import ArmServo
from dexloop.types import Observation

CONFIG = SimConfig(observation="privileged")
# A busy machine delays ticks, which is no fault of what is tested here.
PATIENT = SafetyLimits(overrun=5.0)
TICK, PERIOD = 0.01, 0.1
BRAKING = PATIENT.joint_speed / PATIENT.joint_acceleration
STILL = np.array([0.0] * 6 + [-1.0] * 5 + [0.7], np.float32)
FORWARD = np.array([1.0, 1.0, 0.5, 0.0, 0.0, 0.0] + [1.0] * 5 + [0.7], np.float32)
UNMEASURED = np.full(6, np.nan)


class Spy(SimulatedPlant):
    """The simulation, with every setpoint it was given, and with what can go wrong."""

    def __init__(self, config: SimConfig = CONFIG) -> None:
        self.given: list[tuple[float, Setpoint]] = []
        self.force = UNMEASURED.copy()
        self.temperature = UNMEASURED.copy()
        self.broken: str | None = None
        self.halts = 0
        self.stall = 0.0
        super().__init__(config)

    def state(self) -> PlantState:
        stall, self.stall = self.stall, 0.0
        time.sleep(stall)
        if self.broken:
            raise DeviceError(self.broken)
        state = super().state()
        return PlantState(state.joints, state.fingers, self.force, self.temperature)

    def command(self, setpoint: Setpoint) -> None:
        if self.broken:
            raise DeviceError(self.broken)
        self.given.append((time.monotonic(), setpoint))
        super().command(setpoint)

    def reset(self, seed: int) -> Setpoint:
        start = super().reset(seed)
        self.given = [(time.monotonic(), start)]
        return start

    def halt(self) -> None:
        self.halts += 1

    def path(self) -> np.ndarray:
        """Setpoints since the last reset (N, 12)."""
        return np.array([np.concatenate([s.joints, s.fingers]) for _, s in self.given])

    def rested_at(self) -> float:
        """When the newest setpoint that differed from the one before was given."""
        moved = np.flatnonzero(np.abs(np.diff(self.path(), axis=0)).max(axis=1) > 0.0)
        return self.given[moved[-1] + 1][0]


class Driver:
    """A client without a wire: one action a control period."""

    def __init__(self, backend: RealTime) -> None:
        self.backend = backend
        self.samples: queue.Queue[Sample] = queue.Queue()
        self.sequence = 0
        backend.attach(self.samples.put)

    def send(self, action: np.ndarray, valid: float = 2 * PERIOD) -> int:
        self.sequence += 1
        self.backend.submit(Command(self.sequence, action.astype(np.float32), time.monotonic() + valid))
        return self.sequence

    def step(self, action: np.ndarray) -> Sample:
        sequence = self.send(action)
        return self.until(lambda sample: sample.acknowledged >= sequence or sample.fault is not None)

    def reset(self, seed: int) -> Sample:
        first = self.backend.reset(seed)
        self.forget()
        return first

    def forget(self) -> None:
        """Pass over what was delivered by now."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.samples.get_nowait()

    def boundary(self) -> Sample:
        """Wait for the end of this control period."""
        self.forget()
        return self.samples.get(timeout=5.0)

    def until(self, condition: Callable[[Sample], object], seconds: float = 5.0) -> Sample:
        deadline = time.monotonic() + seconds
        while True:
            sample = self.samples.get(timeout=max(0.01, deadline - time.monotonic()))
            if condition(sample):
                return sample


@contextlib.contextmanager
def real_time(plant: SimulatedPlant, config: SimConfig = CONFIG, safety: SafetyLimits = PATIENT) -> Iterator[RealTime]:
    backend = RealTime(plant, control_of(config, safety))
    try:
        yield backend
    finally:
        backend.close()


@contextlib.contextmanager
def served(backend: RealTime) -> Iterator[str]:
    server, port = start_server(backend, "127.0.0.1:0", ServerSecurity())
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def check_limits(path: np.ndarray, tick: float, safety: SafetyLimits = PATIENT) -> None:
    """Position, speed and acceleration of every setpoint (N, 12)."""
    joints, fingers = safety.joints(), safety.fingers()
    low, high, speed, acceleration = (
        np.concatenate([getattr(joints, name), getattr(fingers, name)])
        for name in ("low", "high", "speed", "acceleration")
    )
    assert (path >= low).all() and (path <= high).all()
    speeds = np.diff(path, axis=0, prepend=path[:1]) / tick
    assert (np.abs(speeds) <= speed + 1e-6).all()
    changes = np.diff(speeds, axis=0, prepend=np.zeros((1, 12)))
    assert (np.abs(changes) <= acceleration * tick + 1e-6).all()


def resting(at: Setpoint) -> PlantState:
    """A robot that is where it was told to be, and feels nothing."""
    return PlantState(at.joints, at.fingers, UNMEASURED, UNMEASURED)


def motion_of(plant: SimulatedPlant, hz: float, start: Setpoint, safety: SafetyLimits = PATIENT) -> Motion:
    codec = ActionCodec("delta", ControlLimits(), 1.0 / hz)
    return Motion(plant.kinematics, codec, safety, plant.tick, round(1.0 / hz / plant.tick), start)


def command(*words: str) -> contextlib.AbstractContextManager[tuple[Child, str]]:
    """The command itself, and where it says that it listens."""
    return serving("--real-time", "--observation", "privileged", *words)


def test_scripted_operator_takes_the_cup_in_real_time() -> None:
    with command("--sim.control-hz", "10") as (child, address):
        env, operator = GrpcEnv(address), ScriptedOperator(CONFIG, CLEAN)
        successes = 0
        for seed in range(5):
            seen = env.reset(seed=seed)[0]
            operator.reset(seed)
            success = over = False
            while not (success or over):
                wanted = operator.poll(Observation(seen["proprio"], {}, seen["privileged"])).action
                assert wanted is not None
                seen, reward, _, over, info = env.step(wanted)
                success, over = bool(reward), over or info["fault"] is not None
            successes += success
        env.close()
        report = ended(child)
    assert successes >= 4
    assert "control periods" in report


def test_start_is_that_of_the_simulation_that_waits() -> None:
    waits = DexEnv(CONFIG)
    with real_time(SimulatedPlant(CONFIG)) as backend:
        assert backend.spec == waits.robot_spec
        for seed in (1, 2):
            sample, seen = backend.reset(seed), waits.reset(seed=seed)[0]
            assert sample.truth is not None
            np.testing.assert_allclose(sample.proprio, seen["proprio"], atol=2e-3)
            np.testing.assert_allclose(sample.truth.privileged, seen["privileged"], atol=5e-3)


def test_steady_motion_is_executed_as_asked_and_told() -> None:
    plant = SimulatedPlant(CONFIG)
    motion = motion_of(plant, 10.0, plant.reset(1))
    action = np.array([0.6, 0.4, 0.0, 0.0, 0.3, 0.0] + [-1.0] * 5 + [0.7], np.float32)
    for period in range(8):
        motion.begin(action, 10, plant.state())
        before = motion.target.copy()
        for _ in range(10):
            plant.command(motion.advance(plant.state()))
            plant.advance()
        executed = motion.finish()
        # The first period accelerates; and the arm follows its setpoints.
        np.testing.assert_allclose(executed, action, atol=0.5 if period == 0 else 0.03)
        np.testing.assert_allclose(motion.target[:3] - before[:3], 0.025 * executed[:3], atol=1e-6)
    np.testing.assert_allclose(motion.relative(plant.state().joints)[:3], motion.target[:3], atol=0.01)


def test_steady_motion_has_no_dips_where_its_client_answers_at_once() -> None:
    """Within 5 ms of the end of a control period, so always after the first tick of the next one."""
    plant = SimulatedPlant(CONFIG)
    for hz in (10.0, 20.0):
        motion = motion_of(plant, hz, plant.reset(1))
        periods = round(100 / hz)
        action = np.array([0.0, 0.3, 0.15, 0.0, 0.0, 0.0] + [-1.0] * 5 + [0.7], np.float32)
        path = [motion.setpoint]
        for _ in range(8):
            path.append(motion.advance(resting(path[-1])))
            motion.begin(action, periods - 1, resting(path[-1]))
            path += [motion.advance(resting(path[-1])) for _ in range(periods - 1)]
            motion.finish()
        ways = np.linalg.norm(np.diff([at.joints for at in path], axis=0), axis=1)
        check_limits(np.array([np.concatenate([at.joints, at.fingers]) for at in path]), plant.tick)
        steady = ways[3 * periods :]
        around = np.minimum(steady[:-2], steady[2:])
        assert steady.min() > 0.1 * TICK, "it moves"
        assert (steady[1:-1] < 0.95 * around).sum() == 0


def test_without_a_next_action_the_robot_brakes_after_one_tick() -> None:
    plant = SimulatedPlant(CONFIG)
    motion = motion_of(plant, 10.0, plant.reset(1))
    path = [motion.setpoint]
    for _ in range(4):
        motion.begin(0.6 * FORWARD, 10, resting(path[-1]))
        path += [motion.advance(resting(path[-1])) for _ in range(10)]
        motion.finish()
    last = path[-1].joints - path[-2].joints
    coasting, braking = (motion.advance(resting(path[-1])) for _ in range(2))
    np.testing.assert_allclose(coasting.joints - path[-1].joints, last, atol=1e-6)
    assert np.linalg.norm(braking.joints - coasting.joints) < 0.9 * np.linalg.norm(last)
    # The target is what was reached when the period ended, and a period without an action does not coast once more.
    for _ in range(2):
        motion.finish()
        path += [motion.advance(resting(path[-1])) for _ in range(20)]
    assert motion.at_rest or np.abs(path[-1].joints - path[-2].joints).max() < 1e-6


@settings(max_examples=15, deadline=None)
@given(
    actions=st.lists(arrays(np.float32, 12, elements=st.floats(-1, 1, width=32)), min_size=1, max_size=12),
    late=st.lists(st.integers(0, 5), min_size=12, max_size=12),
    seed=st.integers(0, 3),
)
def test_no_sequence_of_actions_leads_beyond_a_limit_or_into_the_table(
    actions: list[np.ndarray], late: list[int], seed: int
) -> None:
    start = PLANT_20.reset(seed)
    motion = motion_of(PLANT_20, 20.0, start)
    servo = ArmServo(PLANT_20.kinematics, ActionCodec("delta", ControlLimits(), 0.05), 0.05, np.eye(4))
    path = [start]
    for wanted, wait in zip(actions, late, strict=False):
        for repeat in range(3):
            for tick in range(5):
                if tick == wait:
                    motion.begin(wanted * (-1.0) ** repeat, 5 - tick, PLANT_20.state())
                path.append(motion.advance(PlantState(path[-1].joints, path[-1].fingers, UNMEASURED, UNMEASURED)))
            assert np.abs(motion.finish()).max() <= 1.0
    while not motion.at_rest:
        motion.rest()
        path.append(motion.advance(PLANT_20.state()))
    check_limits(np.array([np.concatenate([s.joints, s.fingers]) for s in path]), PLANT_20.tick)
    outside = [servo.outside(PLANT_20.kinematics.forward(s.joints)) for s in path]
    assert max(outside) < 0.002, "not even while braking [m]"


PLANT_20 = SimulatedPlant(SimConfig(observation="privileged", control_hz=20.0))


def test_setpoints_stay_within_every_limit_at_every_tick_in_real_time() -> None:
    rng = np.random.default_rng(0)
    plant = Spy()
    with real_time(plant) as backend:
        driver = Driver(backend)
        backend.reset(1)
        for k in range(30):
            wanted = rng.choice([-1.0, 1.0], 12) if k % 2 else rng.uniform(-1.0, 1.0, 12)
            time.sleep(float(rng.uniform(0.0, 0.03)))
            assert driver.step(wanted).fault is None
        backend.stop()
        time.sleep(0.5)
        check_limits(plant.path(), TICK)
        assert len(plant.given) > 150
        assert (np.ptp(plant.path(), axis=0) > 0.01).all(), "every axis moved"


def test_a_silent_client_leaves_the_robot_at_rest_within_the_watchdog_and_braking() -> None:
    plant = Spy()
    with real_time(plant) as backend:
        driver = Driver(backend)
        backend.reset(1)
        for _ in range(5):
            driver.step(FORWARD)
        driver.send(FORWARD)
        last, count = time.monotonic(), len(plant.given)
        time.sleep(1.5)
        ticks = plant.path()[count:]
        moving = int(np.flatnonzero(np.abs(np.diff(ticks, axis=0)).max(axis=1) > 0.0)[-1]) + 2
        assert moving * TICK <= 2 * PERIOD + BRAKING + TICK
        rest = plant.rested_at() - last
        assert 0.0 < rest <= 2 * PERIOD + BRAKING + 0.15, f"at rest after {rest:.3f} s"
        check_limits(plant.path(), TICK)
        # And it goes on from where it is.
        before = plant.path()[-1]
        driver.step(STILL * np.array([1.0] * 6 + [0.0] * 6) + np.array([0.0] * 6 + list(2 * before[6:] - 1)))
        np.testing.assert_allclose(plant.path()[-1], before, atol=1e-3)


def _drive(address: str, ready: Any) -> None:
    env = GrpcEnv(address)
    env.reset(seed=0)
    for step in range(1000):
        env.step(FORWARD * (1.0 if step % 10 < 5 else -1.0))
        if step == 3:
            ready.send(True)


def test_a_killed_client_leaves_the_robot_at_rest_and_to_the_next() -> None:
    plant = Spy()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with real_time(plant) as backend, served(backend) as address:
        client = context.Process(target=_drive, args=(address, theirs), daemon=True)
        client.start()
        assert ours.poll(60) and ours.recv()
        assert np.abs(np.diff(plant.path()[-5:], axis=0)).max() > 0.0, "it moves"
        client.kill()
        killed = time.monotonic()
        time.sleep(1.5)
        rest = plant.rested_at() - killed
        assert rest <= 2 * PERIOD + BRAKING + 0.15, f"at rest {rest:.3f} s after the client was killed"
        check_limits(plant.path(), TICK)
        env = GrpcEnv(address)
        env.reset(seed=1)
        assert env.step(STILL)[4]["fault"] is None
        env.close()


def test_no_action_is_executed_that_has_expired_by_the_time_it_would_begin() -> None:
    plant = Spy()
    with real_time(plant) as backend:
        driver = Driver(backend)
        backend.reset(1)
        driver.step(STILL)
        for _ in range(3):
            plant.stall = 0.06
            while plant.stall:
                time.sleep(0.001)
            driver.send(FORWARD, valid=0.005)
            time.sleep(0.12)
        assert backend.expired == 3
        driver.boundary()
        driver.send(FORWARD)
        time.sleep(2 * TICK)
        with pytest.raises(DexloopError, match="before it would begin"):
            driver.send(FORWARD, valid=0.001)
        sample = driver.until(lambda sample: sample.acknowledged == driver.sequence - 1)
        assert sample.proprio[-1] == pytest.approx(1.0 - 2 / 100), "two were executed: the first and the last valid one"


def test_an_action_that_expires_while_it_waits_is_refused_at_once() -> None:
    plant = Spy()
    with real_time(plant) as backend:
        driver = Driver(backend)
        backend.reset(1)
        driver.step(STILL)
        told: queue.Queue[str] = queue.Queue()
        plant.stall = 0.06
        while plant.stall:
            time.sleep(0.001)
        backend.submit(Command(9, FORWARD, time.monotonic() + 0.005, told.put))
        sent = time.monotonic()
        assert "before it could begin" in told.get(timeout=5.0)
        assert time.monotonic() - sent < PERIOD + 0.2
        driver.sequence = 9
        assert driver.step(STILL).acknowledged == 10, "and the next is executed"


class Slow(Spy):
    """Every tick comes late, so that an action may be over before the tick that would begin it."""

    def state(self) -> PlantState:
        self.stall = 0.05
        return super().state()


def test_a_client_hears_at_once_that_its_action_expired() -> None:
    with real_time(Slow()) as backend, served(backend) as address:
        env = GrpcEnv(address)
        env.reset(seed=1)
        stream = env._stream
        assert stream is not None
        refused = 0
        for _ in range(8):
            asked = time.monotonic()
            answer = stream.exchange(STILL, asked + env._clock, 0.03)
            assert time.monotonic() - asked < 1.0, "far below the time after which a connection counts as lost"
            refused += bool(answer.refused)
        assert refused >= 1 and "expire" in answer.refused
        env.close()


def test_a_late_action_begins_at_once_and_ends_with_its_period() -> None:
    plant = Spy()
    with real_time(plant) as backend:
        driver = Driver(backend)
        backend.reset(1)
        ends = driver.step(STILL).seconds
        time.sleep(0.45 * PERIOD)
        sample = driver.step(FORWARD)
        assert sample.seconds - ends == pytest.approx(PERIOD, abs=0.04), "no period was lost"
        assert sample.executed[0] > 0.0


def test_a_late_action_is_done_faster_by_no_more_than_stated() -> None:
    plant = SimulatedPlant(CONFIG)
    # An arm that accelerates at once shows what was asked of it.
    safety = SafetyLimits(joint_acceleration=1e3, finger_acceleration=1e4, hurry=1.5, contact_speed=0.5)
    for left, share in ((10, 1.0), (8, 1.0), (5, 0.75), (1, 0.15)):
        motion = motion_of(plant, 10.0, plant.reset(1), safety)
        motion.begin(0.5 * FORWARD, left, plant.state())
        for _ in range(left):
            motion.advance(plant.state())
        np.testing.assert_allclose(motion.finish()[:3], share * 0.5 * FORWARD[:3], atol=0.03)


def test_deadline_counts_executed_actions_alone() -> None:
    config = SimConfig(observation="privileged", max_seconds=0.5)
    with real_time(SimulatedPlant(config), config) as backend:
        driver = Driver(backend)
        with pytest.raises(DexloopError, match="reset"):
            driver.send(STILL)
        backend.reset(1)
        held = [backend.hold() for _ in range(3)]
        assert {float(sample.proprio[-1]) for sample in held} == {1.0}
        assert held[1].seconds - held[0].seconds >= PERIOD - 0.04
        samples = [driver.step(STILL) for _ in range(5)]
        assert [sample.truncated for sample in samples] == [False] * 4 + [True]
        assert samples[-1].proprio[-1] == pytest.approx(0.0)
        with pytest.raises(DexloopError, match="the episode is over"):
            driver.send(STILL)


def test_hold_rests_and_what_comes_next_does_not_jump() -> None:
    plant = Spy()
    with real_time(plant) as backend:
        driver = Driver(backend)
        backend.reset(1)
        for _ in range(4):
            driver.step(FORWARD)
        backend.hold()
        sample = backend.hold()
        resting = plant.path()[-1]
        np.testing.assert_allclose(sample.executed[:6], 0.0, atol=1e-6)
        driver.step(np.concatenate([np.zeros(6), 2.0 * resting[6:] - 1.0]))
        np.testing.assert_allclose(plant.path()[-1], resting, atol=1e-3)
        check_limits(plant.path(), TICK)


def test_anybody_may_stop_and_it_stays_until_rearmed() -> None:
    plant = Spy()
    with real_time(plant) as backend, served(backend) as address:
        driver, passer_by = GrpcEnv(address), GrpcEnv(address)
        driver.reset(seed=0)
        for _ in range(4):
            driver.step(FORWARD)
        passer_by.stop()
        stopped = time.monotonic()
        assert "stopped" in driver.step(FORWARD)[4]["fault"]
        time.sleep(1.0)
        assert plant.rested_at() - stopped <= BRAKING + 0.15
        check_limits(plant.path(), TICK)
        with pytest.raises(DexloopError, match="stopped"):
            driver.reset(seed=0)
        driver.rearm()
        driver.reset(seed=0)
        assert driver.step(STILL)[4]["fault"] is None
        driver.close()
        passer_by.close()


def test_the_controllers_terminal_says_why_nothing_moves() -> None:
    with command() as (child, address), contextlib.closing(GrpcEnv(address)) as env:
        assert child.stderr is not None
        env.stop()
        assert re.fullmatch(r"\d\d:\d\d:\d\d at rest: the robot is stopped.*\n", child.stderr.readline())
        env.rearm()
        assert re.fullmatch(r"\d\d:\d\d:\d\d armed again\n", child.stderr.readline())


def test_the_controllers_terminal_says_whose_action_went_before_and_what_was_refused() -> None:
    with command() as (child, address), contextlib.closing(GrpcEnv(address)) as env:
        assert child.stderr is not None
        env.announce(4_000)
        env.reset(seed=1)
        env.step(STILL)
        assert env._stream is not None
        for _ in range(2):
            time.sleep(0.3)
            # An action that was under way for too long.
            late = env._stream.exchange(STILL, time.monotonic() + env._clock - 1.0, 0.2, 4_000)
            assert "expired" in late.refused
        long = env._stream.exchange(STILL, time.monotonic() + env._clock, 0.6, 4_000)
        assert "give more than 0 and at most 0.5" in long.refused
        env.stop()
        assert "at rest: the robot is stopped" in (said := child.stderr.readline()) and said.endswith("(policy 4000)\n")
        assert "2 actions refused: expired … ms ago\n" in ended(child)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_the_controller_the_robot_brakes_first(number: signal.Signals) -> None:
    with command() as (child, address), contextlib.closing(GrpcEnv(address)) as env:
        env.reset(seed=1)
        env.step(FORWARD)
        assert "control periods" in ended(child, number)


def test_a_terminal_that_goes_takes_the_controller_to_its_end() -> None:
    # As a broken ssh connection does it: the terminal is gone, and nobody can be told anything any more.
    terminal, its = os.openpty()
    line = [sys.executable, "-m", "dexloop", "serve", "--real-time", "--observation", "privileged", "--bind"]
    child = subprocess.Popen(
        [*line, "127.0.0.1:0"], stdin=its, stderr=its, start_new_session=True, preexec_fn=_take_the_terminal
    )
    os.close(its)
    said = b""
    while b"ends it" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    assert child.wait(timeout=20) in (0, 1)


def _take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def fault_of(backend: RealTime, driver: Driver) -> str:
    """The latched fault, after it was seen to stop everything until somebody has looked."""
    sample = driver.until(lambda sample: sample.fault is not None)
    assert sample.fault is not None
    for refused in (lambda: driver.send(STILL), lambda: backend.reset(1)):
        with pytest.raises(DexloopError, match="rearm"):
            refused()
    return sample.fault


class Cameras(Spy):
    """Pictures without OpenGL, which can freeze."""

    frozen = False
    _count = 0

    @property
    def cameras(self) -> Mapping[str, tuple[int, int]]:
        return {"chest": (16, 16)}

    def frames(self) -> Mapping[str, Frame]:
        self._count += not self.frozen
        return {"chest": Frame(np.zeros((16, 16, 3), np.uint8), self._count, time.monotonic())}


def test_a_camera_that_stands_still_is_a_fault() -> None:
    plant = Cameras()
    with real_time(plant) as backend:
        driver = Driver(backend)
        backend.reset(1)
        assert driver.step(STILL).images["chest"].counter > 0
        plant.frozen, since = True, time.monotonic()
        assert "camera chest shows nothing new" in fault_of(backend, driver)
        assert PATIENT.frozen - PERIOD <= time.monotonic() - since <= PATIENT.frozen + 3 * PERIOD + 0.2
        plant.frozen = False
        backend.rearm()
        with pytest.raises(DexloopError, match="reset"):
            driver.send(STILL)
        driver.reset(1)
        assert driver.step(STILL).fault is None


def test_a_device_that_is_lost_is_a_fault_and_gets_no_setpoints_until_rearmed() -> None:
    plant = Spy()
    with real_time(plant) as backend:
        driver = Driver(backend)
        backend.reset(1)
        driver.step(FORWARD)
        plant.broken = "the arm does not answer"
        assert fault_of(backend, driver) == plant.broken
        assert plant.halts == 1
        with pytest.raises(DexloopError, match="does not answer"):
            backend.rearm()
        count, plant.broken = len(plant.given), None
        time.sleep(0.1)
        assert len(plant.given) == count, "halted devices are left alone"
        backend.rearm()
        driver.reset(2)
        assert driver.step(STILL).fault is None


@pytest.mark.parametrize(
    ("what", "value", "why"),
    [("force", 25.0, "finger ring presses with 25.0 N"), ("temperature", 80.0, "finger ring has 80 °C")],
)
def test_too_much_force_or_heat_is_a_fault(what: str, value: float, why: str) -> None:
    plant = Spy()
    with real_time(plant) as backend:
        driver = Driver(backend)
        backend.reset(1)
        driver.step(STILL)
        getattr(plant, what)[1] = value
        assert why in fault_of(backend, driver)
        getattr(plant, what)[1] = 0.0
        backend.rearm()
        driver.reset(1)
        assert driver.step(STILL).fault is None


def test_a_fault_that_is_still_there_is_told_again_until_it_is_mended() -> None:
    plant = Spy()
    told = list[str]()

    def look(fault: str) -> None:
        told.append(fault)
        if len(told) == 2:
            plant.broken = None

    with (
        real_time(plant) as backend,
        served(backend) as address,
        contextlib.closing(GrpcEnv(address, ask=look)) as driver,
    ):
        driver.reset(seed=0)
        plant.broken = "arm: joint 2 is hot"
        assert "joint 2 is hot" in driver.step(STILL)[4]["fault"]
        driver.reset(seed=0)
        assert driver.step(STILL)[4]["fault"] is None
    assert len(told) == 2 and "is in a fault" in told[0] and "joint 2 is hot" in told[1]


def test_a_tick_that_begins_too_late_is_a_fault() -> None:
    plant = Spy()
    with real_time(plant, safety=SafetyLimits(overrun=0.5)) as backend:
        driver = Driver(backend)
        backend.reset(1)
        driver.step(STILL)
        plant.stall = 0.7
        assert "late" in fault_of(backend, driver)


@contextlib.contextmanager
def closing_hand(safety: SafetyLimits = PATIENT) -> Iterator[tuple[Spy, Driver]]:
    """A robot three control periods into moving and closing its hand."""
    plant = Spy()
    with real_time(plant, safety=safety) as backend:
        driver = Driver(backend)
        backend.reset(1)
        for _ in range(3):
            driver.step(FORWARD)
        yield plant, driver


def test_a_finger_that_presses_backs_off_and_closes_no_further() -> None:
    with closing_hand() as (plant, driver):
        plant.force[2] = 12.0
        before = plant.path()[-1, 6:]
        sample = driver.step(FORWARD)
        fingers = plant.path()[-1, 6:]
        braking = PATIENT.finger_speed**2 / (2 * PATIENT.finger_acceleration)
        assert sample.fault is None
        assert fingers[2] <= before[2] + braking
        # The others close on, more slowly since the hand feels contact.
        slow = PATIENT.contact_share * PATIENT.finger_speed * PERIOD
        assert before[[0, 1, 3]].min() + 0.5 * slow <= fingers[[0, 1, 3]].min() <= before.min() + slow + braking
        for _ in range(4):
            driver.step(FORWARD)
        assert plant.path()[-1, 8] <= fingers[2] - 3 * PATIENT.back_off, "as long as it presses"
        check_limits(plant.path(), TICK)


def test_a_finger_that_something_keeps_from_opening_opens_no_further() -> None:
    with closing_hand() as (plant, driver):
        plant.force[0] = -12.0
        before = plant.path()[-1, 6:]
        for _ in range(4):
            driver.step(STILL)
        fingers = plant.path()[-1, 6:]
        assert fingers[0] >= before[0] and fingers[1] < before[1] - 0.05
        check_limits(plant.path(), TICK)


def test_a_hand_whose_finger_presses_is_raised_and_not_lowered() -> None:
    plant = Spy()
    down, up = STILL.copy(), STILL.copy()
    down[2], up[2] = -0.5, 0.5
    with real_time(plant) as backend:
        driver = Driver(backend)
        start = backend.reset(1).proprio[:3]
        plant.force[0] = 12.0
        for _ in range(4):
            lowered = driver.step(down)
        assert lowered.fault is None and abs(lowered.proprio[2] - start[2]) < 1e-3
        for _ in range(4):
            raised = driver.step(up)
        assert raised.proprio[2] > start[2] + 0.02
        plant.force[0] = 0.0
        for _ in range(4):
            lowered = driver.step(down)
        assert lowered.proprio[2] < raised.proprio[2] - 0.01


def test_an_arm_brakes_while_a_finger_presses_too_hard_and_a_moment_of_it_is_no_fault() -> None:
    with closing_hand(replace(PATIENT, pressing=2.0)) as (plant, driver):
        plant.force[1] = 25.0
        for _ in range(3):
            driver.step(FORWARD)
        before = plant.path()[-1]
        assert driver.step(FORWARD).fault is None
        after = plant.path()[-1]
        np.testing.assert_allclose(after[:6], before[:6], atol=1e-9)
        assert after[7] < before[7] or before[7] == 0.0, "the finger backs off"
        plant.force[1] = 0.0
        driver.step(FORWARD)
        assert driver.step(FORWARD).fault is None and np.abs(plant.path()[-1] - after)[:6].max() > 0.01
        check_limits(plant.path(), TICK)


def test_a_finger_that_still_presses_when_the_robot_is_rearmed_has_as_long_as_any_to_let_go() -> None:
    with closing_hand(replace(PATIENT, pressing=1.0)) as (plant, driver):
        backend = driver.backend
        plant.force[1] = 25.0
        until = time.monotonic() + 10.0
        while backend.halted is None and time.monotonic() < until:
            time.sleep(0.01)
        assert "finger ring presses with 25.0 N" in str(backend.halted)
        backend.rearm()
        time.sleep(0.3)
        assert backend.halted is None
        plant.force[1] = 0.0
        assert backend.reset(1).fault is None


def test_an_arm_that_is_held_off_its_setpoint_goes_on_from_where_it_is_without_a_jump() -> None:
    class Held(Spy):
        off = 0.0

        def state(self) -> PlantState:
            state = super().state()
            return replace(state, joints=state.joints + np.array([0.0, self.off, 0.0, 0.0, 0.0, 0.0]))

    plant = Held()
    with real_time(plant) as backend:
        driver = Driver(backend)
        backend.reset(1)
        driver.step(STILL)
        backend.hold()
        plant.off = 0.1
        at = plant.path()[-1, 1]
        driver.step(STILL)
        driver.step(STILL)
        assert plant.path()[-1, 1] > at + 0.05, "it gives way"
        check_limits(plant.path(), TICK)


def test_an_arm_is_stopped_before_it_goes_on_after_a_fault() -> None:
    plant = Spy()
    with real_time(plant) as backend:
        driver = Driver(backend)
        backend.reset(1)
        driver.step(FORWARD)
        plant.force[1] = 25.0
        assert "for too long" in fault_of(backend, driver)
        assert plant.halts == 0
        plant.force[1] = 0.0
        backend.rearm()
        assert plant.halts == 1, "its next setpoint is where it is, which may be a jump from the last one"


def test_control_periods_keep_time_at_20_hz() -> None:
    config = SimConfig(observation="privileged", control_hz=20.0)
    with real_time(Spy(config), config) as backend:
        driver = Driver(backend)
        first = backend.reset(1)
        began = time.monotonic()
        round_trips = [driver.step(STILL).seconds for _ in range(60)]
        timing = backend.timing()
        assert round_trips[-1] - first.seconds == pytest.approx(60 * 0.05, abs=0.1), "no drift"
        assert time.monotonic() - began < 60 * 0.05 + 0.3
        assert timing.periods >= 60 and timing.jitter_p50 < 0.01
        assert timing.jitter_p50 <= timing.jitter_p99 <= timing.jitter_worst


def test_ticks_divide_the_control_period() -> None:
    assert [tick_for(hz, 0.01) for hz in (10.0, 20.0, 100.0)] == pytest.approx([0.01] * 3)
    assert tick_for(20.0, 0.02) == pytest.approx(0.025)
    assert tick_for(100.0, 0.02) == pytest.approx(0.01), "at least one tick a period"
    with pytest.raises(DexloopError, match="no whole number of ticks"):
        RealTime(SimulatedPlant(CONFIG), control_of(SimConfig(observation="privileged", control_hz=15.0)))


@pytest.mark.parametrize("fields", [{"joint_speed": 0.0}, {"force": float("nan")}, {"joint_range": (1.0,)}])
def test_limits_that_cannot_be_meant_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(DexloopError):
        SafetyLimits(**fields)


@pytest.mark.gl
def test_pictures_come_with_samples() -> None:
    config = SimConfig(image_size=64, privileged=True)
    with real_time(SimulatedPlant(config), config) as backend:
        driver = Driver(backend)
        first = backend.reset(1)
        sample = driver.step(FORWARD)
        shapes = {name: frame.image.shape for name, frame in sample.images.items()}
        assert shapes == dict.fromkeys(("chest", "head", "chest_hand", "head_hand"), (64, 64, 3))
        assert sample.images["chest"].counter > first.images["chest"].counter
        assert sample.truth is not None and sample.fault is None
