"""Success means held: what it accepts, and what has tried to fool it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dexloop.sim.env import DexEnv
from dexloop.sim.state import SceneState, privileged_vector, state_from_privileged
from dexloop.sim.tasks.base import load_task, task_names

REST = np.array([0.0] * 6 + [-1.0] * 5 + [0.66], dtype=np.float32)
HELD = SceneState(
    ee_position=np.array([0.35, 0.0, 0.12]),
    ee_rotation=np.eye(3),
    object_position=np.array([0.38, 0.01, 0.13]),
    object_up=np.array([0.0, 0.0, 1.0]),
    object_yaw=0.4,
    height=0.09,
    velocity=np.zeros(3),
    contacts=(False, False, True, True, True),
    supported=False,
    fingers=np.full(6, 0.7),
)


def test_cup_counts_as_held_only_in_the_required_way() -> None:
    holding = load_task("cup").holding
    assert holding(HELD)
    assert not holding(replace(HELD, height=0.05))
    assert not holding(replace(HELD, contacts=(True, True, True, True, False)))
    assert not holding(replace(HELD, contacts=(False, False, False, False, True)))
    assert not holding(replace(HELD, velocity=np.array([0.0, 0.0, 0.2])))
    assert not holding(replace(HELD, object_up=np.array([1.0, 0.0, 0.0])))
    assert not holding(replace(HELD, supported=True))


def test_object_in_the_air_by_itself_is_no_success() -> None:
    env = DexEnv(observation="privileged")
    env.reset(seed=0)
    data, height = env.simulation.data, env.simulation.data.qpos[-5].copy()
    for _ in range(20):
        data.qpos[-5], data.qvel[-6:] = height + 0.15, 0.0
        *_, terminated, _, info = env.step(REST)
        assert not (terminated or info["is_success"] or info["holding"])
    data.qvel[-4] = 3.0
    *_, info = env.step(REST)
    assert env.simulation.state().height > 0.06
    assert not info["holding"]


def test_success_takes_half_a_second_without_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    env = DexEnv(observation="privileged", end_on_success=False)
    answers = iter([True] * 4 + [False] + [True] * 6 + [False])
    env.task = replace(env.task, holding=lambda state: next(answers))
    monkeypatch.setattr(env, "_info", lambda executed, state: {})
    env.reset(seed=0)
    rewards = [env.step(REST)[1] for _ in range(12)]
    assert rewards == [0.0] * 9 + [1.0] * 2 + [0.0]


@pytest.mark.parametrize("symmetry", [0, 1, 4])
def test_privileged_vector_tells_the_state(symmetry: int) -> None:
    back = state_from_privileged(privileged_vector(HELD, symmetry), symmetry, HELD.fingers)
    np.testing.assert_allclose(back.object_position, HELD.object_position, atol=1e-6)
    np.testing.assert_allclose(back.ee_rotation, HELD.ee_rotation, atol=1e-6)
    assert back.object_yaw == pytest.approx(HELD.object_yaw if symmetry else 0.0, abs=1e-6)
    assert (back.contacts, back.supported) == (HELD.contacts, HELD.supported)
    assert back.height == pytest.approx(HELD.height)


def test_every_task_loads_and_starts_at_rest() -> None:
    assert "cup" in task_names()
    for name in task_names():
        env = DexEnv(task=name, observation="privileged", reset="random")
        for seed in range(3):
            _, info = env.reset(seed=seed)
            state = env.simulation.state()
            assert not info["holding"]
            assert abs(state.height) < 1e-3
            assert np.linalg.norm(state.velocity) < 0.05
            assert not any(state.contacts)
