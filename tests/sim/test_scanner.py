"""The scanner counts as held only by its handle, with the index finger at the trigger, and can be taken everywhere."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest

from dexloop.operators.scripted import ScriptedOperator
from dexloop.sim.config import SimConfig
from dexloop.sim.env import DexEnv
from dexloop.sim.kinematics import POSTURE_HIGH, POSTURE_LOW, pose
from dexloop.sim.randomisation import Randomisation
from dexloop.sim.rotations import Array, rotation_matrix
from dexloop.sim.state import SceneState, privileged_vector, state_from_privileged
from dexloop.sim.tasks.base import GraspPlan, Task, load_task
from dexloop.types import Observation

TASK = load_task("scanner")
INDEX, THUMB = 3, 4


def episode(seed: int, task: Task = TASK, **fields: Any) -> tuple[bool, SceneState]:
    """Whether the clean operator succeeds, and the last state."""
    config = SimConfig(task="scanner", observation="privileged", **fields)
    env, operator = DexEnv(config, task=task), ScriptedOperator(config, task=task)
    observation, _ = env.reset(seed=seed)
    operator.reset(seed)
    over, info = False, dict[str, Any]()
    while not over:
        seen = Observation(observation["proprio"], {}, observation["privileged"])
        observation, _, terminated, truncated, info = env.step(operator.poll(seen).action)
        over = terminated or truncated
    return info["is_success"], env.simulation.state()


@pytest.fixture(scope="module")
def held() -> SceneState:
    """The scanner as the operator holds it at the end of an episode."""
    success, state = episode(0, reset="random")
    assert success
    return state


def turned(state: SceneState, turn: Array, about: Array) -> SceneState:
    """The state with the hand turned in the world by ``turn`` (3, 3) about the point ``about`` (3,)."""
    position = about + turn @ (state.ee_position - about)
    return replace(state, ee_position=position, ee_rotation=turn @ state.ee_rotation)


@pytest.mark.parametrize("reset", ["fixed", "random"])
def test_operator_takes_the_scanner(reset: Literal["fixed", "random"]) -> None:
    assert [episode(seed, reset=reset)[0] for seed in range(6)] == [True] * 6


@pytest.mark.parametrize("size", [0.8, 1.2])
@pytest.mark.parametrize("mass", [0.8, 1.2])
def test_operator_takes_a_scanner_of_another_size_and_mass(size: float, mass: float) -> None:
    success, _ = episode(1, reset="random", randomise=Randomisation(size=(size, size), mass=(mass, mass)))
    assert success


def test_scanner_held_in_the_designated_grasp_counts(held: SceneState) -> None:
    assert TASK.holding(held)
    # The verdict does not hang on what only the simulation tells.
    seen = state_from_privileged(privileged_vector(held, TASK.symmetry), TASK.symmetry, held.fingers)
    assert TASK.holding(seen)


def test_heading_of_scanner_and_hand_in_the_world_does_not_matter(held: SceneState) -> None:
    turn = rotation_matrix([0.0, 0.0, 1.0])
    whole = turned(held, turn, np.zeros(3))
    whole = replace(
        whole,
        object_position=turn @ held.object_position,
        object_up=turn @ held.object_up,
        object_yaw=held.object_yaw + 1.0,
    )
    assert TASK.holding(whole)


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0.05},
        {"supported": True},
        {"velocity": np.array([0.0, 0.0, 0.2])},
        {"contacts": (True, True, True, True, False)},
        {"contacts": (True, True, True, False, True)},
        {"object_up": np.array([0.0, 0.0, -1.0])},
        {"object_up": np.array([1.0, 0.0, 0.0])},
        {"fingers": np.array([0.7, 0.7, 0.7, 0.1, 0.4, 0.95])},
    ],
    ids=["low", "supported", "fast", "no thumb", "no index", "upside down", "lying", "index straight"],
)
def test_scanner_held_otherwise_does_not_count(held: SceneState, change: dict[str, Any]) -> None:
    assert not TASK.holding(replace(held, **change))


@pytest.mark.parametrize("along", [-0.025, 0.025])
def test_index_finger_above_or_below_the_trigger_does_not_count(held: SceneState, along: float) -> None:
    handle = held.ee_rotation[:, 1]
    assert not TASK.holding(replace(held, ee_position=held.ee_position + along * handle))


@pytest.mark.parametrize("across", [0, 2])
def test_hand_beside_the_handle_does_not_count(held: SceneState, across: int) -> None:
    assert not TASK.holding(replace(held, ee_position=held.ee_position + 0.05 * held.ee_rotation[:, across]))


@pytest.mark.parametrize("angle", [-0.6, 0.6, math.pi / 2, math.pi])
def test_hand_turned_about_the_handle_does_not_count(held: SceneState, angle: float) -> None:
    turn = rotation_matrix(held.object_up * angle)
    assert not TASK.holding(turned(held, turn, held.object_position))


def test_hand_from_above_does_not_count(held: SceneState) -> None:
    turn = rotation_matrix(held.ee_rotation[:, 0] * math.pi / 2)
    assert not TASK.holding(turned(held, turn, held.object_position))


def raised(plan: GraspPlan) -> GraspPlan:
    """The plan 5 cm higher, where the fingers close around the head."""
    up = np.array([0.0, 0.0, 0.05])
    return replace(plan, approach=plan.approach + up, grasp=plan.grasp + up)


def straight(plan: GraspPlan) -> GraspPlan:
    """The plan with the index finger left open."""
    closed = plan.closed.copy()
    closed[INDEX] = 0.0
    return replace(plan, closed=closed)


@pytest.mark.parametrize("otherwise", [raised, straight])
def test_lifting_it_otherwise_is_no_success(otherwise: Any) -> None:
    wrong = replace(TASK, plan=lambda state: otherwise(TASK.plan(state)))
    success, state = episode(2, task=wrong, reset="random")
    assert not success
    if otherwise is straight:
        # It did lift the scanner; what is missing is the index finger.
        assert state.height > 0.06
        assert state.contacts[THUMB]


def test_index_finger_of_the_operator_touches_the_trigger_itself() -> None:
    config = SimConfig(task="scanner", observation="privileged", reset="random")
    env, operator = DexEnv(config), ScriptedOperator(config)
    observation, info = env.reset(seed=3)
    operator.reset(3)
    while not info["is_success"]:
        seen = Observation(observation["proprio"], {}, observation["privileged"])
        observation, _, _, truncated, info = env.step(operator.poll(seen).action)
        assert not truncated
    model, data = env.simulation.model, env.simulation.data
    body = model.body("object").id
    trigger = model.body_geomadr[body] + model.body_geomnum[body] - 1
    touching = {model.geom(a + b - trigger).name for a, b in data.contact.geom.tolist() if trigger in (a, b)}
    assert touching & {"index1", "index2"}


def test_every_start_is_reachable_and_clear_of_the_scanner() -> None:
    env = DexEnv(task="scanner", observation="privileged", reset="random")
    yaws = list[float]()
    for seed in range(50):
        env.reset(seed=seed)
        state = env.simulation.state()
        assert not any(state.contacts)
        assert state.object_up[2] > 0.9999
        assert (np.abs(state.ee_position - TASK.ee_position) < TASK.random.ee_position + 0.002).all()
        yaws.append(state.object_yaw)
    assert max(yaws) - min(yaws) > 1.0


def test_grasp_is_within_reach_at_the_border_of_the_region() -> None:
    env = DexEnv(task="scanner", observation="privileged", reset="random")
    env.reset(seed=0)
    state, region = env.simulation.state(), TASK.random
    for dx, dy, dyaw in itertools.product((-1.0, 0.0, 1.0), repeat=3):
        place = np.array([*TASK.object_position, state.object_position[2]])
        place[0:2] += np.array([dx, dy]) * region.object_position
        plan = TASK.plan(replace(state, object_position=place, object_yaw=dyaw * region.object_yaw))
        q = np.array(TASK.home)
        for position in (plan.approach, plan.grasp, plan.grasp + np.array([0.0, 0.0, 0.07])):
            solution = env.simulation.kinematics.solve(q, pose(position, plan.rotation), iterations=100)
            q = solution.q
            assert solution.residual < 1e-4
            assert (q > POSTURE_LOW).all()
            assert (q < POSTURE_HIGH).all()
