"""Each limit alone: it is reached, it holds, and what comes to it slides along it, slows down or stops as it should."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.oracle import TINY, Oracle, check_motion
from benchmarks.shapes import ARM, HAND
from tests.robot.drive import NONE, PLANTS, SAFETY, STILL, TICK, TICKS, Ask, Run, measured, motion_of
from tests.robot.told import Told, check_speeds

from dexloop.robot.guard import Guard
from dexloop.robot.plant import Setpoint
from dexloop.robot.safety import SafetyLimits


def approach(
    task: str, action: list[float], periods: int = 60, safety: SafetyLimits = SAFETY, force: float = math.nan
) -> tuple[Oracle, list[Setpoint]]:
    """A client that asks for the same all the time."""
    motion = motion_of(task, 1, safety)
    path = [motion.setpoint]
    for _ in range(periods):
        motion.begin(np.array(action, np.float32), TICKS, measured(path[-1], force))
        for _ in range(TICKS):
            path.append(motion.advance(measured(path[-1], force)))
        motion.finish()
    return Oracle(path[0], safety), path


OPEN = [-1.0] * 5 + [0.7]
FLAT = [-1.0] * 6


def test_the_tool_turns_to_the_border_of_its_cone_and_slides_along_it() -> None:
    narrow = replace(SAFETY, cone=math.radians(15.0))
    oracle, path = approach("cup", [0, 0, 0, 0, 0, 1.0, *OPEN], 15, narrow)
    angles = np.degrees(oracle.angles(oracle.shapes.place(path)))
    assert 14.0 < angles.max() <= 15.0 + 1e-6
    assert angles[-1] > 14.0, "it rests there"


def test_the_arm_slows_down_towards_a_singularity_and_stops_before_it() -> None:
    plant = PLANTS["cup"]
    # High enough for the wrist to straighten without touching the table.
    start = Setpoint(plant.reset(1).joints + np.array([0.0, 0.9, 0.0, 0.0, 0.0, 0.0]), np.zeros(6))
    safety = replace(SAFETY, cone=3.0, workspace_low=(-1.0, -1.0, 0.0), workspace_high=(1.0, 1.0, 1.5))
    guard, oracle = Guard(plant.kinematics, safety, TICK, start), Oracle(start, safety)
    goal = start.joints.copy()
    goal[4] = -goal[4]
    path = [guard.follow(Setpoint(goal, start.fingers), STILL) for _ in range(500)]
    left = oracle.manipulability(oracle.shapes.place(path))
    speeds = np.abs(np.diff([at.joints for at in path], axis=0)).max(axis=1) / TICK
    assert left.min() >= safety.singular - 1e-12
    assert left[-1] < 1.2 * safety.singular and speeds[-50:].max() < 0.02, "it rests just before"
    near = left[1:] < safety.near_singular
    assert near.any() and speeds[~near].max() > 0.5
    share = (left[1:] - safety.singular) / (safety.near_singular - safety.singular)
    assert (speeds <= safety.joint_speed * np.clip(share, 0.1, 1.0) + 1e-6).all()
    back = [guard.follow(start, STILL) for _ in range(500)]
    np.testing.assert_allclose(back[-1].joints, start.joints, atol=1e-3, err_msg="and it comes out again")


def test_the_palm_stops_above_the_table_and_the_fingers_before_they_are_deep_in_it() -> None:
    for task in ("cup", "cube"):
        oracle, path = approach(task, [0, 0, -1.0, 0, 0, 0, *FLAT], 30)
        placed = oracle.shapes.place(path)
        assert oracle.shapes.lowest(placed, "palm").min() >= SAFETY.hand_clearance - TINY
        fingers = oracle.shapes.lowest(placed, *HAND)
        assert SAFETY.finger_clearance - TINY <= fingers.min() < 0.03, "it came down"


def test_a_closing_finger_stops_at_the_table_too() -> None:
    motion = motion_of("cube", 1)
    path = [motion.setpoint]
    oracle = Oracle(path[0], SAFETY)
    for period in range(30):
        action = [0, 0, -1.0, 0, 0, 0, *FLAT] if period < 12 else [0.0] * 6 + [1.0] * 6
        motion.begin(np.array(action, np.float32), TICKS, measured(path[-1]))
        for _ in range(TICKS):
            path.append(motion.advance(measured(path[-1])))
        motion.finish()
    heights = oracle.shapes.lowest(oracle.shapes.place(path), *HAND)
    assert SAFETY.finger_clearance - TINY <= heights.min() < 0.01


def pushed(turn: list[float], safety: SafetyLimits) -> tuple[Oracle, list[Setpoint], float]:
    """Joints asked to turn so far [rad] from a start of the cup, where only ``safety``'s distances limit them.

    The path, and how far the joints stay behind at its end.
    """
    plant = PLANTS["cup"]
    start = plant.reset(1)
    wide = replace(safety, cone=3.1, workspace_low=(-1.0, -1.0, -1.0), workspace_high=(1.0, 1.0, 1.5), singular=1e-9)
    guard = Guard(plant.kinematics, wide, TICK, start)
    goal, still = Setpoint(start.joints + np.array(turn), start.fingers), STILL
    path = [guard.follow(goal, still) for _ in range(500)]
    check_motion([start, *path], wide, TICK)
    return Oracle(start, wide), path, float(np.abs(path[-1].joints - goal.joints).max())


def test_the_palm_stops_above_the_table_when_the_joints_push_it_down() -> None:
    deep = replace(SAFETY, finger_clearance=-1.0, hand_clearance=0.004)
    oracle, path, behind = pushed([0.0, -0.6, 0.6, 0.0, 0.0, 0.0], deep)
    lowest = oracle.shapes.lowest(oracle.shapes.place(path), "palm")
    assert lowest.min() >= 0.004 - TINY and lowest[-1] < 0.03 and behind > 0.05


def test_the_wrist_stops_above_the_table() -> None:
    deep = replace(SAFETY, finger_clearance=-1.0, hand_clearance=-1.0, clearance=0.01)
    oracle, path, behind = pushed([0.0, -0.6, 0.6, 0.0, 0.0, 0.0], deep)
    wrist = oracle.shapes.lowest(oracle.shapes.place(path), "forearm", "wrist")
    assert wrist.min() >= 0.01 - TINY and wrist[-1] < 0.03 and behind > 0.05


def test_a_folding_wrist_stops_the_hand_before_the_forearm() -> None:
    apart = replace(SAFETY, clearance=0.03, finger_clearance=-1.0, hand_clearance=-1.0)
    oracle, path, behind = pushed([0.0, 0.6, 0.0, 0.0, 0.6, 0.0], apart)
    placed = oracle.shapes.place(path)
    gaps = np.minimum(*(oracle.shapes.apart(placed, part, "hand") for part in ("elbow", "forearm")))
    assert gaps.min() >= 0.03 - TINY and gaps[-1] < gaps[0]
    assert behind > 0.2, "long before the joint's own limit"


def test_the_elbow_and_hand_keep_away_from_the_chest() -> None:
    plant = PLANTS["cup"]
    start = plant.reset(1)
    wide = replace(SAFETY, cone=3.0, workspace_low=(-1.0, -1.0, 0.0), workspace_high=(1.0, 1.0, 1.5), singular=1e-9)
    guard = Guard(plant.kinematics, wide, TICK, start)
    goal = start.joints.copy()
    goal[0] += 1.8
    path = [guard.follow(Setpoint(goal, start.fingers), STILL) for _ in range(400)]
    shapes = Oracle(start, wide).shapes
    placed = shapes.place(path)
    gaps = np.min([shapes.apart(placed, part, "chest") for part in (*ARM, "hand")], axis=0)
    assert gaps.min() >= SAFETY.clearance - TINY and gaps[-1] < 0.1
    assert np.abs(path[-1].joints - goal).max() > 0.3, "the chest is in the way"
    assert np.abs(path[-1].joints - path[-20].joints).max() < 1e-3, "and the arm rests before it"


def test_contact_slows_arm_and_fingers_down() -> None:
    fast = replace(SAFETY, contact_speed=0.1)
    action = [1.0, 1.0, 1.0, 0, 0, 0, *[1.0] * 6]

    def fastest(force: float) -> tuple[float, float]:
        oracle, path = approach("cup", action, 5, fast, force)
        closing = np.diff([at.fingers for at in path], axis=0).max() / TICK
        return float(oracle.shapes.carried(oracle.shapes.place(path)).max() / TICK), float(closing)

    free, held = fastest(0.5), fastest(3.0)
    assert free[0] > 0.3 and held[0] <= 0.1 + 1e-6
    assert free[1] > 1.5 and held[1] <= SAFETY.contact_share * SAFETY.finger_speed + 1e-6
    assert fastest(math.nan) == pytest.approx(free), "a force nobody measures is none"


def test_fingers_that_open_towards_the_table_wait_for_the_arm_to_slow_down() -> None:
    run = Run(motion_of("loopy", 8))
    asked = (
        ([1, -1, -1, -1, 1, 0, 1, 1, 1, 0, 0, 1], 5),
        ([-1, -1, 1, -1, 0, -1, 0, -1, -1, -1, 0, -1], 2),
        ([-1, -1, -1, 1, -1, 0, 1, -1, 1, 0, -1, 1], 2),
    )
    for action, periods in asked:
        run.ask(Ask(np.array(action, np.float32), periods, 0, 0, False, NONE))
    told, oracle = Told.of(run), Oracle(run.start, SAFETY)
    placed = oracle.shapes.place(told.path)
    assert oracle.point_speeds(placed, False).min() < 0.4, "the fingers come near the table"
    check_speeds(told, placed, oracle)


def test_who_starts_beyond_a_limit_may_only_come_back() -> None:
    plant = PLANTS["cup"]
    start = plant.reset(1)
    inside = plant.kinematics.forward(start.joints)[:3, 3]
    tight = replace(SAFETY, workspace_low=(float(inside[0]) + 0.02, -0.38, 0.015))
    guard = Guard(plant.kinematics, tight, TICK, start)
    out = start.joints.copy()
    out[2] -= 0.3
    away = [guard.follow(Setpoint(out, start.fingers), STILL) for _ in range(50)]
    reach = [float(plant.kinematics.forward(at.joints)[0, 3]) for at in away]
    assert min(reach) >= inside[0] - 1e-6, "no farther out"
    goal = plant.kinematics.forward(start.joints)
    goal[0, 3] += 0.06
    back = plant.kinematics.solve(start.joints, goal).q
    for _ in range(300):
        at = guard.follow(Setpoint(back, start.fingers), STILL)
    assert float(plant.kinematics.forward(at.joints)[0, 3]) > inside[0] + 0.05, "and back in"
