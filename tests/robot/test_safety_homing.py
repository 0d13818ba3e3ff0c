"""On the way home, and wherever somebody moved the arm before it was armed again, no limit is exceeded either."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.oracle import TINY, Oracle, check_motion
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.robot.drive import (
    NOTHING,
    SAFETY,
    TICK,
    Ask,
    Asks,
    Feel,
    Feels,
    Jumps,
    Leg,
    Legs,
    Run,
    Seeds,
    Tasks,
    Whims,
    measured,
    motion_of,
)
from tests.robot.recorder import Recorder
from tests.robot.told import Told, check_back_off, check_contact, check_not_lowered, check_speeds, check_stops

from dexloop import DexloopError
from dexloop.robot.controller import RealTime
from dexloop.robot.homing import Homing
from dexloop.robot.motion import Motion
from dexloop.robot.plant import Setpoint
from dexloop.robot.simulated_plant import control_of
from dexloop.sim.config import SimConfig
from dexloop.sim.kinematics import JOINT_LIMITS


def rearmed(motion: Motion, jump: tuple[np.ndarray, np.ndarray]) -> None:
    """As the controller does after a fault: the robot goes on from where it is measured, at rest."""
    joints, fingers = np.clip(motion.setpoint.joints + jump[0], -JOINT_LIMITS, JOINT_LIMITS), jump[1]
    motion.settle(Setpoint(joints, fingers))
    assert motion.at_rest
    np.testing.assert_array_equal(motion.setpoint.joints, joints)
    np.testing.assert_array_equal(motion.setpoint.fingers, np.clip(fingers, 0.0, 1.0))


@settings(max_examples=30, deadline=None)
@given(jump=st.none() | Jumps, legs=Legs, feels=st.just(NOTHING) | Feels, task=Tasks, seed=Seeds)
def test_no_way_home_leads_into_anything_or_is_faster_than_it_should_be(
    jump: tuple[np.ndarray, np.ndarray] | None, legs: list[Leg], feels: list[Feel], task: str, seed: int
) -> None:
    motion = motion_of(task, seed)
    oracle = Oracle(motion.setpoint, SAFETY)
    if jump is not None:
        rearmed(motion, jump)
    run = Run(motion, feels)
    taken = []
    for leg in legs:
        taken.append(run.travel(leg))
        # A leg begins where the one before ended, or where somebody had the robot rest.
        run.rest()
    told = Told.of(run)
    check_motion(told.path, SAFETY, TICK)
    placed = oracle.check(told.path, homing=True, moved=jump is not None)
    check_speeds(told, placed, oracle, homing=True)
    for leg, ticks in zip(legs, taken, strict=True):
        assert np.abs(told.speed[ticks, :6]).max(initial=0.0) <= leg.speed + TINY, "joints"
        assert np.abs(told.speed[ticks, 6:]).max(initial=0.0) <= leg.finger_speed + TINY, "fingers"
    check_contact(told)
    check_back_off(told, oracle)
    check_stops(told)


@settings(max_examples=20, deadline=None)
@given(before=Whims, after=Asks, jump=Jumps, feels=st.just(NOTHING) | Feels, task=Tasks, seed=Seeds)
def test_an_arm_that_was_moved_goes_on_from_where_it_is_and_never_farther_out(
    before: Ask, after: list[Ask], jump: tuple[np.ndarray, np.ndarray], feels: list[Feel], task: str, seed: int
) -> None:
    motion = motion_of(task, seed)
    oracle, first = Oracle(motion.setpoint, SAFETY), Run(motion)
    first.ask(before)
    # In a fault, from which it is rearmed before it rests.
    first.rest(before.begins)
    rearmed(motion, jump)
    run = Run(motion, feels)
    for ask in after:
        run.ask(ask)
    run.rest()
    told = Told.of(run)
    check_motion(told.path, SAFETY, TICK)
    placed = oracle.check(told.path, moved=True)
    check_speeds(told, placed, oracle)
    check_contact(told)
    check_not_lowered(told, placed, oracle)
    check_stops(told)


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
        oracle = Oracle(plant.start, SAFETY)
        oracle.check(plant.path, homing=True)
        check_motion(plant.path, SAFETY, TICK)
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
    oracle = Oracle(motion.setpoint, SAFETY)
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
    oracle.check(path, homing=True, moved=True)
