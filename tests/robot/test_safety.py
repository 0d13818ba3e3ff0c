"""Whatever is asked for, what is executed stays within every limit at every tick, and silence ends in rest.

Distances are measured by the physics engine and the pose by ``dexloop.sim.kinematics``, not by what is tested.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dexloop import DexloopError
from dexloop.flags import described
from dexloop.robot.backend import Command
from dexloop.robot.chain import ArmChain
from dexloop.robot.client import GrpcEnv
from dexloop.robot.controller import RealTime
from dexloop.robot.guard import Guard
from dexloop.robot.homing import Homing
from dexloop.robot.motion import Motion
from dexloop.robot.orders import Orders
from dexloop.robot.plant import PlantState, Setpoint
from dexloop.robot.safety import SafetyLimits
from dexloop.robot.security import ServerSecurity
from dexloop.robot.server import start_server
from dexloop.robot.simulated_plant import SimulatedPlant, control_of
from dexloop.sim.config import SimConfig
from dexloop.sim.control import ActionCodec, ControlLimits

TICK, TICKS = 0.01, 10
SAFETY = SafetyLimits()
TASKS = ("cup", "cube", "scanner", "loopy")
PLANTS = {task: SimulatedPlant(SimConfig(task=task, observation="privileged")) for task in TASKS}
UNMEASURED = np.full(6, np.nan)
HAND = (
    "palm",
    *(f"{f}{k}" for f in ("little", "ring", "middle", "index") for k in (1, 2)),
    "thumb1",
    "thumb2",
    "thumb3",
)
# Rounding, and the millimetre's fraction that a box takes for the inverse kinematics.
TINY, BOX = 1e-6, 0.0005 + 1e-6


def measured(setpoint: Setpoint, force: float = math.nan) -> PlantState:
    """A robot that is where it was told to be."""
    return PlantState(setpoint.joints, setpoint.fingers, np.full(6, force), UNMEASURED)


def motion_of(task: str, seed: int, safety: SafetyLimits = SAFETY) -> Motion:
    plant = PLANTS[task]
    codec = ActionCodec("delta", ControlLimits(), TICK * TICKS)
    return Motion(plant.kinematics, codec, safety, TICK, TICKS, plant.reset(seed))


class Oracle:
    """The simulated robot put where the setpoints say, with no dynamics."""

    def __init__(self, plant: SimulatedPlant, start: Setpoint, safety: SafetyLimits = SAFETY) -> None:
        self._simulation, self._kinematics = plant._simulation, plant.kinematics
        self._data = mujoco.MjData(self._simulation.model)
        self._safety = safety
        self._axis = self._kinematics.forward(start.joints)[:3, 2]
        self._sign = np.sign(np.linalg.det(self._kinematics.jacobian(start.joints)))

    def put(self, at: Setpoint) -> mujoco.MjData:
        simulation, data = self._simulation, self._data
        data.qpos[simulation._arm], data.qpos[simulation._fingers] = at.joints, at.fingers * simulation._closed
        for i in range(simulation.model.neq):
            follower, leader = simulation.model.eq_obj1id[i], simulation.model.eq_obj2id[i]
            addresses = simulation.model.jnt_qposadr
            data.qpos[addresses[follower]] = simulation.model.eq_data[i][1] * data.qpos[addresses[leader]]
        mujoco.mj_kinematics(simulation.model, data)
        return data

    def manipulability(self, at: Setpoint) -> float:
        """Signed, positive in the posture of the start [m^3]."""
        return float(self._sign * np.linalg.det(self._kinematics.jacobian(at.joints)))

    def lowest(self, at: Setpoint, names: tuple[str, ...] = HAND) -> float:
        """Height of the lowest point of these shapes above the table [m]."""
        data, heights = self.put(at), []
        for name in names:
            geom = self._simulation.model.geom(name)
            turned, size = data.geom_xmat[geom.id].reshape(3, 3)[2], geom.size
            capsule = int(geom.type[0]) == mujoco.mjtGeom.mjGEOM_CAPSULE
            half = abs(turned[2]) * size[1] + size[0] if capsule else float(np.abs(turned) @ size)
            heights.append(float(data.geom_xpos[geom.id][2]) - half)
        return min(heights)

    def apart(self, at: Setpoint) -> float:
        """The least distance between hand or wrist and base, upper arm or first link [m], at most 0.2."""
        model, data = self._simulation.model, self.put(at)
        near = [g for g in range(model.ngeom) if model.body(model.geom_bodyid[g]).name in ("base", "link1", "link2")]
        near = [g for g in near if model.body(model.geom_bodyid[g]).name != "base"]
        far = [model.geom(name).id for name in HAND]
        far += [g for g in range(model.ngeom) if model.body(model.geom_bodyid[g]).name == "link5"]
        return min(mujoco.mj_geomDistance(model, data, a, b, 0.2, None) for a in near for b in far)

    def check(self, at: Setpoint) -> None:
        """Every limit that is of a place."""
        safety = self._safety
        pose = self._kinematics.forward(at.joints)
        low, high = np.array(safety.workspace_low), np.array(safety.workspace_high)
        assert (pose[:3, 3] >= low - BOX).all() and (pose[:3, 3] <= high + BOX).all(), "workspace"
        assert np.arccos(np.clip(pose[:3, 2] @ self._axis, -1.0, 1.0)) <= safety.cone + TINY, "cone"
        assert self.manipulability(at) >= safety.singular - TINY, "singularity"
        assert self.lowest(at, ("palm",)) >= safety.hand_clearance - TINY, "palm and table"
        assert self.lowest(at) >= safety.finger_clearance - TINY, "fingers and table"
        assert self.apart(at) >= safety.clearance - TINY, "hand and arm"


def check_motion(path: list[Setpoint], safety: SafetyLimits = SAFETY, tick: float = TICK) -> None:
    """Position, speed and acceleration of every joint and finger, from rest."""
    for limits, way in (
        (safety.joints(), np.array([at.joints for at in path])),
        (safety.fingers(), np.array([at.fingers for at in path])),
    ):
        assert (way >= limits.low).all() and (way <= limits.high).all()
        speeds = np.diff(way, axis=0, prepend=way[:1]) / tick
        assert (np.abs(speeds) <= limits.speed + TINY).all()
        changes = np.diff(speeds, axis=0, prepend=np.zeros((1, way.shape[1])))
        assert (np.abs(changes) <= limits.acceleration * tick + TINY).all()


def check_speeds(oracle: Oracle, path: list[Setpoint], safety: SafetyLimits = SAFETY) -> None:
    """Of the end effector, which is one of the points: everywhere, and near the table."""
    places = np.array([oracle._kinematics.forward(at.joints)[:3, 3] for at in path])
    speeds = np.linalg.norm(np.diff(places, axis=0), axis=1) / TICK
    # The end effector lies between the points of the hand, none of which is faster than this.
    assert (speeds <= safety.point_speed + TINY).all()
    for speed, at in zip(speeds, path[1:], strict=True):
        if oracle.lowest(at) < safety.contact_height:
            assert speed <= safety.contact_speed + TINY, "near the table"


@dataclass(frozen=True)
class Ask:
    """What a client does for some control periods: an action from this tick on, reversed every so many ticks."""

    action: np.ndarray
    periods: int
    begins: int
    reverses: int
    silent: bool


Actions = arrays(np.float32, 12, elements=st.floats(-1, 1, width=32)) | arrays(
    np.float32, 12, elements=st.sampled_from([-1.0, 0.0, 1.0])
)
Asks = st.lists(
    st.builds(Ask, Actions, st.integers(1, 12), st.integers(0, 9), st.sampled_from([0, 1, 2, 10]), st.booleans()),
    min_size=1,
    max_size=5,
)


def drive(motion: Motion, asks: list[Ask]) -> list[Setpoint]:
    """Every setpoint of a client's whims, to the rest at the end."""
    path = [motion.setpoint]
    for ask in asks:
        for _ in range(ask.periods):
            sign = 1.0
            for tick in range(TICKS):
                again = ask.reverses > 0 and tick % ask.reverses == 0
                if ask.silent:
                    motion.rest()
                elif tick == ask.begins or again:
                    motion.begin(np.float32(sign) * ask.action, TICKS - tick, measured(path[-1]))
                    sign = -sign if again else sign
                path.append(motion.advance(measured(path[-1])))
            executed = motion.finish()
            assert np.isfinite(executed).all() and np.abs(executed).max() <= 1.0
    motion.rest()
    while not motion.at_rest:
        path.append(motion.advance(measured(path[-1])))
    return path


@settings(max_examples=40, deadline=None)
@given(asks=Asks, task=st.sampled_from(TASKS), seed=st.integers(0, 9))
def test_no_sequence_of_actions_leads_beyond_any_limit(asks: list[Ask], task: str, seed: int) -> None:
    motion = motion_of(task, seed)
    oracle = Oracle(PLANTS[task], motion.setpoint)
    path = drive(motion, asks)
    check_motion(path)
    for at in path:
        oracle.check(at)
    check_speeds(oracle, path)


Turns = st.lists(
    st.tuples(arrays(np.float64, 6, elements=st.floats(-3, 3)), st.integers(1, 40), st.floats(0.0, 4.0)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(turns=Turns, fingers=arrays(np.float64, 6, elements=st.floats(-1, 2)), task=st.sampled_from(TASKS))
def test_no_reference_in_the_joints_leads_beyond_any_limit(turns: list, fingers: np.ndarray, task: str) -> None:
    """Joints that jump anywhere at any speed, as no servo would ask."""
    plant = PLANTS[task]
    start = plant.reset(1)
    guard, oracle = Guard(plant.kinematics, SAFETY, TICK, start), Oracle(plant, start)
    path = [guard.setpoint]
    for goal, ticks, speed in turns:
        for _ in range(ticks):
            path.append(guard.follow(Setpoint(goal, fingers), Setpoint(np.full(6, speed), np.zeros(6))))
    check_motion(path)
    for at in path:
        oracle.check(at)
    check_speeds(oracle, path)
    ends = guard.setpoint
    for _ in range(round(SAFETY.joints().stopping_time() / TICK) + 1):
        last = guard.brake()
        oracle.check(last)
    assert guard.at_rest, "within the stated time"
    assert (np.abs(last.joints - ends.joints) <= SAFETY.joints().stopping_distance() + TINY).all()
    assert (np.abs(last.fingers - ends.fingers) <= SAFETY.fingers().stopping_distance() + TINY).all()


Calls = st.lists(
    st.tuples(st.just("submit"), st.floats(-0.3, 0.5).map(lambda valid: round(valid, 3)))
    | st.tuples(
        st.sampled_from(["next", "executed", "stop", "rearm", "fault", "begin", "end", "attach", "detach", "hold"]),
        st.just(0.0),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(calls=Calls)
def test_nothing_begins_that_expired_or_may_not_begin_and_who_waits_is_told(calls: list[tuple[str, float]]) -> None:
    orders, now = Orders(), 0.0
    told: list[int] = []
    begun: list[int] = []
    waiting: int | None = None
    for number, (name, valid) in enumerate([("begin", 0.0), *calls]):
        now += 0.05
        try:
            if name == "submit":
                command = Command(
                    number, np.zeros(12, np.float32), now + valid, lambda why, number=number: told.append(number)
                )
                orders.submit(command, now, now + 0.1)
                assert valid >= 0.0 and orders.running and orders.halted is None
                waiting = number
            elif name == "next":
                halted = orders.halted
                rest, begins = orders.next(now, closing=False, busy=False)
                assert rest or halted is None
                if begins is not None:
                    assert halted is None and orders.running and begins.expires >= now
                    assert begins.sequence == waiting and begins.sequence not in begun, "the newest, and never twice"
                    begun.append(begins.sequence)
            elif name == "fault":
                orders.latch("broken")
            elif name == "attach":
                orders.attach(lambda sample: None)
            else:
                getattr(orders, name)()
        except DexloopError:
            assert name in ("submit", "begin")
        if name in ("stop", "rearm", "fault", "begin", "attach", "detach"):
            # A sample tells of it, or nobody waits any more.
            waiting = None
        pending = orders._pending.sequence if orders._pending is not None else None
        if waiting is not None and pending != waiting:
            assert (waiting in begun) != (waiting in told), "begun or refused, and its sender knows"
    assert not set(begun) & set(told)


class Recorder(SimulatedPlant):
    """The simulation, with every setpoint it was given since the newest start."""

    def command(self, setpoint: Setpoint) -> None:
        self.path.append(setpoint)
        super().command(setpoint)

    def reset(self, seed: int) -> Setpoint:
        start = super().reset(seed)
        self.path = [start]
        return start


def test_a_client_out_of_its_mind_moves_the_robot_within_every_limit_in_real_time() -> None:
    """Extreme, reversing, late, expired and doubled actions through the service, as fast as it takes them."""
    rng = np.random.default_rng(3)
    config = SimConfig(observation="privileged")
    plant = Recorder(config)
    backend = RealTime(plant, control_of(config, replace(SAFETY, overrun=5.0)))
    server, port = start_server(backend, "127.0.0.1:0", ServerSecurity())
    env = GrpcEnv(f"127.0.0.1:{port}")
    try:
        env.reset(seed=1)
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
    oracle = Oracle(plant, plant.path[0])
    check_motion(plant.path)
    for at in plant.path:
        oracle.check(at)
    check_speeds(oracle, plant.path)


class Buried(Recorder):
    """Its way home leads through the table."""

    buried = False

    def way_home(self, joints: np.ndarray, fingers: np.ndarray, *, straight: bool = False) -> Sequence[Setpoint]:
        lowered = self.kinematics.forward(joints)
        lowered[2, 3] -= 0.15
        return [Setpoint(self.kinematics.solve(joints, lowered).q, fingers)] if self.buried else ()


def test_a_way_home_through_the_table_is_a_fault_before_it() -> None:
    config = SimConfig(observation="privileged")
    plant = Buried(config)
    backend = RealTime(plant, control_of(config, replace(SAFETY, overrun=5.0)))
    try:
        backend.reset(1)
        plant.buried = True
        with pytest.raises(DexloopError, match=r"the way home is blocked: .*hand and table.* would come too near"):
            backend.reset(2)
        oracle = Oracle(plant, plant.path[0])
        assert min(oracle.lowest(at) for at in plant.path) >= SAFETY.finger_clearance - TINY
        check_motion(plant.path)
        plant.buried = False
        backend.rearm()
        assert backend.reset(3).fault is None
    finally:
        backend.close()


class Way(Recorder):
    """Its way leads over the places that it is given."""

    way: Sequence[Setpoint] = ()

    def way_home(self, joints: np.ndarray, fingers: np.ndarray, *, straight: bool = False) -> Sequence[Setpoint]:
        return self.way


def test_fingers_that_the_table_does_not_let_open_do_so_farther_up() -> None:
    config = SimConfig(observation="privileged")
    plant, motion = Way(config), motion_of("cup", 1)
    oracle = Oracle(plant, motion.setpoint)
    # Where a policy that had knocked the cup over left the hand: its fingers bent, their tips at the table.
    joints = np.array([0.045, -1.627, -0.675, -1.581, 0.394, 2.884])
    motion.settle(Setpoint(joints, np.array([0.26, 0.29, 0.27, 0.265, 0.16, 0.74])))
    raised = plant.kinematics.forward(joints)
    raised[2, 3] += 0.10
    above, opened = plant.kinematics.solve(joints, raised).q, np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.8])
    plant.way = [Setpoint(joints, opened), Setpoint(above, opened)]
    control = replace(control_of(config, SAFETY), homing_speed=2.0, homing_finger_speed=2.0)
    homing = Homing(plant, motion, control)
    home, path = homing.begin(), [motion.setpoint]
    while homing.under_way:
        assert homing.go_further(measured(path[-1])) is None
        path.append(motion.advance(measured(path[-1])))
        if motion.at_rest:
            time.sleep(0.01)
    assert home.done()
    np.testing.assert_allclose(path[-1].joints, above, atol=2e-3)
    np.testing.assert_allclose(path[-1].fingers, opened, atol=2e-3)
    waiting = [at for at in path if float(np.abs(at.joints - joints).max()) < 1e-3]
    assert min(float(np.abs(at.fingers - opened).max()) for at in waiting) > 0.05, "the table was in the way"
    assert min(oracle.lowest(at) for at in path) >= min(SAFETY.finger_clearance, oracle.lowest(path[0])) - TINY


def silence(force: float = math.nan) -> tuple[Motion, Oracle, list[Setpoint]]:
    """An arm in full motion whose client falls silent; the path from then on."""
    motion = motion_of("cup", 1)
    oracle = Oracle(PLANTS["cup"], motion.setpoint)
    at = motion.setpoint
    for _ in range(4):
        motion.begin(np.array([1, 1, 1, 0, 0, 0.5, *[1] * 6], np.float32), TICKS, measured(at, force))
        for _ in range(TICKS):
            at = motion.advance(measured(at, force))
        motion.finish()
    path = [at]
    motion.rest()
    while not motion.at_rest:
        path.append(motion.advance(measured(path[-1], force)))
    return motion, oracle, path


def test_rest_comes_within_the_time_and_distance_that_braking_takes() -> None:
    _, oracle, path = silence()
    assert len(path) > 2, "it moved"
    assert len(path) * TICK <= SAFETY.joints().stopping_time() + 2 * TICK
    joints = np.array([at.joints for at in path])
    assert (np.abs(joints[-1] - joints[0]) <= SAFETY.joints().stopping_distance() + TINY).all()
    way = [oracle._kinematics.forward(at)[:3, 3] for at in joints]
    assert np.linalg.norm(way[-1] - way[0]) <= SAFETY.point_speed * SAFETY.joints().stopping_time()


def approach(task: str, action: list[float], periods: int = 60, safety: SafetyLimits = SAFETY, force: float = math.nan):
    """A client that asks for the same all the time."""
    motion = motion_of(task, 1, safety)
    path = [motion.setpoint]
    for _ in range(periods):
        motion.begin(np.array(action, np.float32), TICKS, measured(path[-1], force))
        for _ in range(TICKS):
            path.append(motion.advance(measured(path[-1], force)))
        motion.finish()
    return Oracle(PLANTS[task], path[0], safety), path


OPEN = [-1.0] * 5 + [0.7]
FLAT = [-1.0] * 6


def test_the_tool_turns_to_the_border_of_its_cone_and_slides_along_it() -> None:
    narrow = replace(SAFETY, cone=math.radians(15.0))
    oracle, path = approach("cup", [0, 0, 0, 0, 0, 1.0, *OPEN], 15, narrow)
    axes = np.array([oracle._kinematics.forward(at.joints)[:3, 2] for at in path])
    angles = np.degrees(np.arccos(np.clip(axes @ axes[0], -1.0, 1.0)))
    assert 14.0 < angles.max() <= 15.0 + 1e-6
    assert angles[-1] > 14.0, "it rests there"


def test_the_arm_slows_down_towards_a_singularity_and_stops_before_it() -> None:
    plant = PLANTS["cup"]
    # High enough for the wrist to straighten without touching the table.
    start = Setpoint(plant.reset(1).joints + np.array([0.0, 0.9, 0.0, 0.0, 0.0, 0.0]), np.zeros(6))
    safety = replace(SAFETY, cone=3.0, workspace_low=(-1.0, -1.0, 0.0), workspace_high=(1.0, 1.0, 1.5))
    guard, oracle = Guard(plant.kinematics, safety, TICK, start), Oracle(plant, start, safety)
    goal = start.joints.copy()
    goal[4] = -goal[4]
    path = [guard.follow(Setpoint(goal, start.fingers), Setpoint(np.zeros(6), np.zeros(6))) for _ in range(500)]
    left = np.array([oracle.manipulability(at) for at in path])
    speeds = np.abs(np.diff([at.joints for at in path], axis=0)).max(axis=1) / TICK
    assert left.min() >= safety.singular - 1e-12
    assert left[-1] < 1.2 * safety.singular and speeds[-50:].max() < 0.02, "it rests just before"
    near = left[1:] < safety.near_singular
    assert near.any() and speeds[~near].max() > 0.5
    share = (left[1:] - safety.singular) / (safety.near_singular - safety.singular)
    assert (speeds <= safety.joint_speed * np.clip(share, 0.1, 1.0) + 1e-6).all()
    back = [guard.follow(start, Setpoint(np.zeros(6), np.zeros(6))) for _ in range(500)]
    np.testing.assert_allclose(back[-1].joints, start.joints, atol=1e-3, err_msg="and it comes out again")


def test_the_palm_stops_above_the_table_and_the_fingers_before_they_are_deep_in_it() -> None:
    for task in ("cup", "cube"):
        oracle, path = approach(task, [0, 0, -1.0, 0, 0, 0, *FLAT], 30)
        lowest = [oracle.lowest(at, ("palm",)) for at in path]
        assert min(lowest) >= SAFETY.hand_clearance - TINY
        fingers = [oracle.lowest(at) for at in path]
        assert SAFETY.finger_clearance - TINY <= min(fingers) < 0.03, "it came down"


def test_a_closing_finger_stops_at_the_table_too() -> None:
    plant = PLANTS["cube"]
    motion = motion_of("cube", 1)
    path = [motion.setpoint]
    oracle = Oracle(plant, path[0])
    for period in range(30):
        action = [0, 0, -1.0, 0, 0, 0, *FLAT] if period < 12 else [0.0] * 6 + [1.0] * 6
        motion.begin(np.array(action, np.float32), TICKS, measured(path[-1]))
        for _ in range(TICKS):
            path.append(motion.advance(measured(path[-1])))
        motion.finish()
    heights = [oracle.lowest(at) for at in path]
    assert SAFETY.finger_clearance - TINY <= min(heights) < 0.01


def pushed(turn: list[float], safety: SafetyLimits) -> tuple[Oracle, list[Setpoint], float]:
    """Joints asked to turn so far [rad] from a start of the cup, where only ``safety``'s distances limit them.

    The path, and how far the joints stay behind at its end.
    """
    plant = PLANTS["cup"]
    start = plant.reset(1)
    wide = replace(safety, cone=3.1, workspace_low=(-1.0, -1.0, -1.0), workspace_high=(1.0, 1.0, 1.5), singular=1e-9)
    guard = Guard(plant.kinematics, wide, TICK, start)
    goal, still = Setpoint(start.joints + np.array(turn), start.fingers), Setpoint(np.zeros(6), np.zeros(6))
    path = [guard.follow(goal, still) for _ in range(500)]
    check_motion([start, *path], wide)
    return Oracle(plant, start, wide), path, float(np.abs(path[-1].joints - goal.joints).max())


def test_the_palm_stops_above_the_table_when_the_joints_push_it_down() -> None:
    deep = replace(SAFETY, finger_clearance=-1.0, hand_clearance=0.004)
    oracle, path, behind = pushed([0.0, -0.6, 0.6, 0.0, 0.0, 0.0], deep)
    lowest = [oracle.lowest(at, ("palm",)) for at in path]
    assert min(lowest) >= 0.004 - TINY and lowest[-1] < 0.03 and behind > 0.05


def test_the_wrist_stops_above_the_table() -> None:
    deep = replace(SAFETY, finger_clearance=-1.0, hand_clearance=-1.0, clearance=0.01)
    _, path, behind = pushed([0.0, -0.6, 0.6, 0.0, 0.0, 0.0], deep)
    frames = ArmChain(PLANTS["cup"].kinematics).frames(np.array([at.joints for at in path]))
    wrist = frames[:, 3:6, 2, 3].min(axis=1) - 0.034
    assert wrist.min() >= 0.01 - 0.001 - TINY and wrist[-1] < 0.03 and behind > 0.05


def test_a_folding_wrist_stops_the_hand_before_the_forearm() -> None:
    apart = replace(SAFETY, clearance=0.03, finger_clearance=-1.0, hand_clearance=-1.0)
    oracle, path, behind = pushed([0.0, 0.6, 0.0, 0.0, 0.6, 0.0], apart)
    model, data = oracle._simulation.model, oracle._data
    forearm = [g for g in range(model.ngeom) if model.body(model.geom_bodyid[g]).name in ("link3", "link4")]
    gaps = []
    for at in path:
        oracle.put(at)
        gaps.append(
            min(mujoco.mj_geomDistance(model, data, a, model.geom(b).id, 0.3, None) for a in forearm for b in HAND)
        )
    assert min(gaps) >= 0.03 - TINY and gaps[-1] < gaps[0]
    assert behind > 0.2, "long before the joint's own limit"


def test_the_elbow_and_hand_keep_away_from_the_chest() -> None:
    plant = PLANTS["cup"]
    start = plant.reset(1)
    wide = replace(SAFETY, cone=3.0, workspace_low=(-1.0, -1.0, 0.0), workspace_high=(1.0, 1.0, 1.5), singular=1e-9)
    guard = Guard(plant.kinematics, wide, TICK, start)
    goal = start.joints.copy()
    goal[0] += 1.8
    path = [guard.follow(Setpoint(goal, start.fingers), Setpoint(np.zeros(6), np.zeros(6))) for _ in range(400)]
    chain, chest = ArmChain(plant.kinematics), np.array(SAFETY.chest)
    frames = chain.frames(np.array([at.joints for at in path]))
    foot = np.clip(frames[..., 2, 3], chest[2], chest[5])[..., None]
    axis = np.concatenate([np.broadcast_to(chest[:2], (*foot.shape[:-1], 2)), foot], axis=-1)
    gaps = np.linalg.norm(frames[..., :3, 3] - axis, axis=-1)[:, 2:6] - chest[6]
    assert gaps.min() >= SAFETY.clearance, "elbow, wrist and flange"
    assert np.abs(path[-1].joints - goal).max() > 0.3, "the chest is in the way"
    assert np.abs(path[-1].joints - path[-20].joints).max() < 1e-3, "and the arm rests before it"


def test_contact_slows_arm_and_fingers_down() -> None:
    fast = replace(SAFETY, contact_speed=0.1)
    action = [1.0, 1.0, 1.0, 0, 0, 0, *[1.0] * 6]

    def fastest(force: float) -> tuple[float, float]:
        oracle, path = approach("cup", action, 5, fast, force)
        places = np.array([oracle._kinematics.forward(at.joints)[:3, 3] for at in path])
        closing = np.diff([at.fingers for at in path], axis=0).max() / TICK
        return float(np.linalg.norm(np.diff(places, axis=0), axis=1).max() / TICK), float(closing)

    free, held = fastest(0.5), fastest(3.0)
    assert free[0] > 0.3 and held[0] <= 0.1 + 1e-6
    assert free[1] > 1.5 and held[1] <= SAFETY.contact_share * SAFETY.finger_speed + 1e-6
    assert fastest(math.nan) == pytest.approx(free), "a force nobody measures is none"


def test_who_starts_beyond_a_limit_may_only_come_back() -> None:
    plant = PLANTS["cup"]
    start = plant.reset(1)
    inside = plant.kinematics.forward(start.joints)[:3, 3]
    tight = replace(SAFETY, workspace_low=(float(inside[0]) + 0.02, -0.38, 0.015))
    guard = Guard(plant.kinematics, tight, TICK, start)
    out = start.joints.copy()
    out[2] -= 0.3
    away = [guard.follow(Setpoint(out, start.fingers), Setpoint(np.zeros(6), np.zeros(6))) for _ in range(50)]
    reach = [float(plant.kinematics.forward(at.joints)[0, 3]) for at in away]
    assert min(reach) >= inside[0] - 1e-6, "no farther out"
    goal = plant.kinematics.forward(start.joints)
    goal[0, 3] += 0.06
    back = plant.kinematics.solve(start.joints, goal).q
    for _ in range(300):
        at = guard.follow(Setpoint(back, start.fingers), Setpoint(np.zeros(6), np.zeros(6)))
    assert float(plant.kinematics.forward(at.joints)[0, 3]) > inside[0] + 0.05, "and back in"


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
