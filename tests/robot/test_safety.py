"""Whatever is asked for, what is executed stays within every limit at every tick, and silence ends in rest.

Places, distances and speeds are those of the simulated robot's shapes in the physics engine (``shapes``, ``oracle``),
not of what is tested.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from benchmarks.oracle import TINY, Oracle, check_motion
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.robot.drive import (
    NONE,
    NOTHING,
    PLANTS,
    SAFETY,
    TICK,
    TICKS,
    Ask,
    Asks,
    Feel,
    Feels,
    Run,
    Seeds,
    Tasks,
    Tick,
    measured,
    motion_of,
    six,
)
from tests.robot.recorder import Recorder
from tests.robot.told import Told, check_contact, check_not_lowered, check_speeds, check_stops

from dexloop import DexloopError
from dexloop.flags import described
from dexloop.robot.client import GrpcEnv
from dexloop.robot.controller import RealTime
from dexloop.robot.guard import Guard
from dexloop.robot.plant import Setpoint
from dexloop.robot.safety import SafetyLimits
from dexloop.robot.security import ServerSecurity
from dexloop.robot.server import start_server
from dexloop.robot.simulated_plant import control_of
from dexloop.sim.config import SimConfig


@settings(max_examples=40, deadline=None)
@given(asks=Asks, feels=st.just(NOTHING) | Feels, task=Tasks, seed=Seeds)
def test_no_sequence_of_actions_leads_beyond_any_limit(
    asks: list[Ask], feels: list[Feel], task: str, seed: int
) -> None:
    run = Run(motion_of(task, seed), feels)
    for ask in asks:
        run.ask(ask)
    run.rest()
    told, oracle = Told.of(run), Oracle(run.start, SAFETY)
    check_motion(told.path, SAFETY, TICK)
    check_speeds(told, oracle.check(told.path), oracle)


Turns = st.lists(
    st.tuples(six(-3, 3), six(-1, 2), st.integers(1, 40), st.floats(0.0, 4.0), st.booleans()), min_size=1, max_size=5
)


@settings(max_examples=40, deadline=None)
@given(turns=Turns, homing=st.booleans(), task=Tasks)
def test_no_reference_in_the_joints_leads_beyond_any_limit(turns: list, homing: bool, task: str) -> None:
    """Joints and fingers that jump anywhere, joints at any speed, as no servo would ask."""
    plant = PLANTS[task]
    start = plant.reset(1)
    guard, oracle, ticks = Guard(plant.kinematics, SAFETY, TICK, start), Oracle(start, SAFETY), list[Tick]()
    for goal, fingers, count, speed, touching in turns:
        state = measured(start, 3.0 if touching else math.nan)
        for _ in range(count):
            reference, moves = Setpoint(goal, fingers), Setpoint(np.full(6, speed), NONE)
            at = guard.follow(reference, moves, touching=touching, homing=homing)
            ticks.append(Tick(state, "home" if homing else "act", 0, at))
    ends = guard.setpoint
    for _ in range(round(SAFETY.joints().stopping_time() / TICK) + 1):
        ticks.append(Tick(measured(start), "rest", 0, guard.brake()))
    last = ticks[-1].at
    assert guard.at_rest, "within the stated time"
    assert (np.abs(last.joints - ends.joints) <= SAFETY.joints().stopping_distance() + TINY).all()
    assert (np.abs(last.fingers - ends.fingers) <= SAFETY.fingers().stopping_distance() + TINY).all()
    told = Told(start, ticks)
    check_motion(told.path, SAFETY, TICK)
    check_speeds(told, oracle.check(told.path, homing=homing), oracle, homing=homing)
    check_contact(told)


def test_a_client_out_of_its_mind_moves_the_robot_within_every_limit_in_real_time() -> None:
    """Extreme, reversing, late, expired and doubled actions through the service, as fast as it takes them, and fingers
    that feel anything meanwhile.
    """
    rng = np.random.default_rng(3)
    config = SimConfig(observation="privileged")
    plant, safety = Recorder(config), replace(SAFETY, overrun=5.0, pressing=60.0)
    backend = RealTime(plant, control_of(config, safety))
    server, port = start_server(backend, "127.0.0.1:0", ServerSecurity())
    env = GrpcEnv(f"127.0.0.1:{port}")
    try:
        env.reset(seed=1)
        forces = rng.choice([math.nan, 0.0, 3.0, -3.0, 12.0, -12.0, 25.0], (40, 6))
        plant.feel([Feel(int(rng.integers(1, 20)), force * (rng.random() < 0.7), NONE) for force in forces])
        stream, refused = env._stream, 0
        assert stream is not None
        for _ in range(40):
            values = rng.choice([-1e30, -1.0, 0.0, 1.0, 1e30], 12).astype(np.float32)
            stream._sequence -= int(rng.random() < 0.2)
            valid = float(rng.choice([0.0005, 0.2, 0.4]))
            refused += bool(stream.exchange(values, time.monotonic() + env._clock, valid).refused)
            time.sleep(float(rng.uniform(0.0, 0.05)))
        backend.stop()
        time.sleep(0.6)
        assert refused > 0
    finally:
        env.close()
        server.stop(0).wait()
        backend.close()
    assert len(plant.path) > 150
    told, oracle = Told(plant.start, plant.ticks), Oracle(plant.start, SAFETY)
    check_motion(told.path, SAFETY, TICK)
    placed = oracle.check(told.path)
    check_speeds(told, placed, oracle)
    check_contact(told)
    check_not_lowered(told, placed, oracle)
    check_stops(told)


def test_rest_comes_within_the_time_and_distance_that_braking_takes() -> None:
    motion = motion_of("cup", 1)
    oracle, at = Oracle(motion.setpoint, SAFETY), motion.setpoint
    for _ in range(4):
        motion.begin(np.array([1, 1, 1, 0, 0, 0.5, *[1] * 6], np.float32), TICKS, measured(at))
        for _ in range(TICKS):
            at = motion.advance(measured(at))
        motion.finish()
    path = [at]
    # The client falls silent.
    motion.rest()
    while not motion.at_rest:
        path.append(motion.advance(measured(path[-1])))
    assert len(path) > 2, "it moved"
    assert len(path) * TICK <= SAFETY.joints().stopping_time() + 2 * TICK
    joints = np.array([at.joints for at in path])
    assert (np.abs(joints[-1] - joints[0]) <= SAFETY.joints().stopping_distance() + TINY).all()
    way = oracle.shapes.place(path).ee[:, :3, 3]
    assert np.linalg.norm(way[-1] - way[0]) <= SAFETY.point_speed * SAFETY.joints().stopping_time()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"cone": 0.0}, "cone"),
        ({"singular": 0.01}, "singular must not exceed near_singular"),
        ({"contact_speed": 0.6}, "contact_speed must not exceed point_speed"),
        ({"contact_share": 1.5}, "contact_share"),
        ({"workspace_low": (0.6, 0.0, 0.0)}, "the workspace is empty"),
        ({"chest": (0.0,) * 6}, "chest must be 7"),
        ({"finger_clearance": math.nan}, "finger_clearance must be finite"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(DexloopError, match=why):
        SafetyLimits(**fields)


def test_every_limit_says_what_it_is() -> None:
    said = described(SafetyLimits)[1]
    assert set(said) == set(SafetyLimits.__dataclass_fields__)
    assert all("default" in text for text in said.values() if "joint_range" not in text), said
