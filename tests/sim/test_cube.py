"""The cube: pinched from above by thumb and fingers, in both resets, and held in no other way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dexloop.operators.scripted import ScriptedOperator
from dexloop.sim.config import SimConfig
from dexloop.sim.env import DexEnv
from dexloop.sim.kinematics import pose
from dexloop.sim.randomisation import Randomisation
from dexloop.sim.rotations import quaternion, rotation_matrix, rotation_vector, yaw_matrix
from dexloop.sim.state import SceneState
from dexloop.sim.tasks.cube import TASK
from dexloop.types import FloatArray, Observation

# The end effector's axes in a pinch: fingers ahead (z), palm down (x).
HAND = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
EE = np.array([0.36, -0.04, 0.17])
PINCHED = SceneState(
    ee_position=EE,
    ee_rotation=HAND,
    object_position=EE + HAND @ np.array([0.048, 0.027, 0.009]),
    object_up=np.array([0.0, 0.0, 1.0]),
    object_yaw=0.1,
    height=0.09,
    velocity=np.zeros(3),
    contacts=(False, False, True, True, True),
    supported=False,
    fingers=np.array([0.0, 0.0, 0.56, 0.53, 0.16, 0.96]),
)


def succeeds(env: DexEnv, operator: ScriptedOperator, seed: int) -> bool:
    """Whether the operator brings an episode of ``env`` to its success."""
    observation, info = env.reset(seed=seed)
    operator.reset(seed)
    over = False
    while not over:
        seen = Observation(observation["proprio"], {}, observation["privileged"])
        observation, _, terminated, truncated, info = env.step(operator.poll(seen).action)
        over = terminated or truncated
    return bool(info["is_success"])


def hand_action(fingers: tuple[float, ...]) -> FloatArray:
    """The action (12,) that keeps the arm where it is, with the fingers at these closed fractions."""
    return np.array([0.0] * 6 + [2.0 * f - 1.0 for f in fingers], dtype=np.float32)


@pytest.mark.parametrize("reset", ["fixed", "random"])
def test_operator_lifts_the_cube_from_every_start(reset: str) -> None:
    config = SimConfig(task="cube", observation="privileged", reset=reset)  # type: ignore[arg-type]
    env, operator = DexEnv(config), ScriptedOperator(config)
    assert [succeeds(env, operator, seed) for seed in range(40, 50)] == [True] * 10


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_cube_of_another_size_and_mass_rests_and_can_be_lifted(factor: float) -> None:
    factors = Randomisation(size=(factor, factor), mass=(factor, factor))
    config = SimConfig(task="cube", observation="privileged", randomise=factors)
    env = DexEnv(config)
    env.reset(seed=3)
    assert env.simulation.state().object_position[2] == pytest.approx(0.020 * factor, abs=5e-4)
    assert sum(succeeds(env, ScriptedOperator(config), seed) for seed in range(3, 6)) >= 2


def test_every_start_is_within_the_region_and_touches_nothing() -> None:
    env = DexEnv(task="cube", observation="privileged", reset="random")
    region = TASK.random
    for seed in range(50):
        _, info = env.reset(seed=seed)
        state = env.simulation.state()
        turn = rotation_vector(state.ee_rotation @ TASK.ee_rotation.T)
        assert np.abs(state.ee_position - TASK.ee_position).max() < region.ee_position + 0.005
        assert np.abs(turn).max() < region.ee_rotation + 0.02
        assert np.abs(state.object_position[:2] - TASK.object_position).max() < region.object_position + 0.001
        assert abs(state.object_yaw) < region.object_yaw + 0.01
        assert not any(state.contacts)
        assert not info["holding"]


def test_no_start_pose_is_out_of_reach() -> None:
    kinematics = DexEnv(task="cube", observation="privileged").simulation.kinematics
    rng, region = np.random.default_rng(0), TASK.random
    for _ in range(50):
        position = np.array(TASK.ee_position) + rng.uniform(-1.0, 1.0, 3) * region.ee_position
        turn = rotation_matrix(rng.uniform(-1.0, 1.0, 3) * region.ee_rotation)
        goal = pose(position, turn @ TASK.ee_rotation)
        assert kinematics.solve(np.array(TASK.home), goal, iterations=100).residual < 1e-4


def test_pinch_counts_with_index_or_middle_finger() -> None:
    assert TASK.holding(PINCHED)
    assert TASK.holding(replace(PINCHED, contacts=(False, False, False, True, True)))
    assert TASK.holding(replace(PINCHED, contacts=(False, False, True, False, True)))


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0.05},
        {"supported": True},
        {"velocity": np.array([0.0, 0.0, 0.2])},
        {"contacts": (False, False, True, True, False)},
        {"contacts": (False, False, False, False, True)},
        {"contacts": (True, True, False, False, True)},
        {"contacts": (False, False, False, False, False)},
    ],
    ids=["low", "supported", "fast", "no thumb", "thumb alone", "wrong fingers", "in the air"],
)
def test_anything_less_than_a_pinch_does_not_count(change: dict[str, object]) -> None:
    assert not TASK.holding(replace(PINCHED, **change))  # type: ignore[arg-type]


def test_thrown_cube_does_not_count() -> None:
    env = DexEnv(task="cube", observation="privileged", end_on_success=False)
    env.reset(seed=0)
    env.simulation.data.qvel[-4] = 2.0
    heights = list[float]()
    for _ in range(8):
        *_, info = env.step(hand_action(TASK.fingers))
        heights.append(env.simulation.state().height)
        assert not (info["holding"] or info["is_success"])
    assert max(heights) > 0.06


def test_cube_clutched_against_the_palm_does_not_count() -> None:
    env = DexEnv(task="cube", observation="privileged", end_on_success=False)
    env.reset(seed=0)
    simulation = env.simulation
    opened, fist, clutch = (0.0,) * 5 + (0.9,), (0.9,) * 4 + (0.0, 0.9), (0.9,) * 6
    for _ in range(6):
        env.step(hand_action(opened))
    # The cube floats before the palm until the hand has closed about it.
    data, gravity = simulation.data, simulation.model.opt.gravity
    gravity[2] = 0.0
    position, hand = simulation.ee_pose()
    data.qpos[-7:-4] = position + hand @ np.array([0.006, 0.0, 0.005])
    data.qpos[-4:], data.qvel[-6:] = quaternion(hand), 0.0
    for fingers in (fist, clutch):
        for _ in range(10):
            env.step(hand_action(fingers))
    gravity[2] = -9.81
    for _ in range(10):
        *_, info = env.step(hand_action(clutch))
        assert not (info["holding"] or info["is_success"])
    state = simulation.state()
    # Nothing but its place in the hand tells this from a pinch.
    assert state.thumb
    assert state.any_finger
    assert not state.supported
    assert state.height > 0.06
    assert np.linalg.norm(state.velocity) < 0.01
    assert TASK.holding(replace(state, object_position=position + hand @ np.array([0.048, 0.0, 0.005])))


def test_plan_turns_the_hand_with_the_nearest_face() -> None:
    plans = [TASK.plan(replace(PINCHED, object_yaw=0.3 + k * np.pi / 2)) for k in range(4)]
    for plan in plans[1:]:
        np.testing.assert_allclose(plan.rotation, plans[0].rotation, atol=1e-9)
    ahead = TASK.plan(replace(PINCHED, object_yaw=0.0)).rotation
    np.testing.assert_allclose(plans[0].rotation, yaw_matrix(0.3) @ ahead, atol=1e-9)


def test_plan_finds_the_faces_of_a_toppled_cube() -> None:
    toppled = replace(PINCHED, object_up=np.array([np.cos(0.3), np.sin(0.3), 0.0]), object_yaw=1.0)
    upright = replace(PINCHED, object_yaw=0.3)
    np.testing.assert_allclose(TASK.plan(toppled).rotation, TASK.plan(upright).rotation, atol=1e-9)
