"""The scripted operator: it does the task in both action forms, in one go and from the middle."""

from __future__ import annotations

import numpy as np
import pytest

from dexloop import DexloopError
from dexloop.operators.scripted import CLEAN, HUMAN, Imperfection, ScriptedOperator
from dexloop.sim.config import SimConfig
from dexloop.sim.control import ActionForm
from dexloop.sim.env import DexEnv
from dexloop.types import Observation


def attempt(env: DexEnv, operator: ScriptedOperator, seed: int, disturbed_steps: int = 0) -> tuple[bool, int]:
    """One episode: success and its length; random actions come first for a while."""
    observation, _ = env.reset(seed=seed)
    operator.reset(seed)
    rng = np.random.default_rng(seed)
    for step in range(1, 1000):
        seen = Observation(observation["proprio"], {}, observation["privileged"])
        answer = operator.poll(seen, asked=False)
        assert answer.action is not None
        assert answer.control is not None
        assert answer.control.all()
        action = answer.action
        if step <= disturbed_steps:
            action = rng.uniform(-1.0, 1.0, 12).astype(np.float32)
        observation, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            return info["is_success"], step
    raise AssertionError("the episode has no deadline")


@pytest.mark.parametrize("form", ["delta", "absolute"])
@pytest.mark.parametrize("reset", ["fixed", "random"])
def test_clean_operator_succeeds(form: ActionForm, reset: str) -> None:
    config = SimConfig(observation="privileged", action=form, reset=reset)
    env, operator = DexEnv(config), ScriptedOperator(config, CLEAN)
    results = [attempt(env, operator, 700 + i) for i in range(10)]
    assert all(success for success, _ in results)
    assert np.mean([steps for _, steps in results]) < 40


def test_operator_takes_over_in_the_middle() -> None:
    config = SimConfig(observation="privileged", reset="random")
    env, operator = DexEnv(config), ScriptedOperator(config, CLEAN)
    assert sum(attempt(env, operator, 800 + i, disturbed_steps=20)[0] for i in range(6)) >= 5


def test_person_is_slower_and_mostly_succeeds() -> None:
    config = SimConfig(observation="privileged")
    env = DexEnv(config)
    results = [attempt(env, ScriptedOperator(config, HUMAN), 900 + i) for i in range(12)]
    assert sum(success for success, _ in results) >= 8
    assert np.mean([steps for success, steps in results if success]) > 45


def test_habits_come_from_the_seed() -> None:
    config = SimConfig(observation="privileged")
    env = DexEnv(config)
    first, second = ScriptedOperator(config, HUMAN), ScriptedOperator(config, HUMAN)
    assert attempt(env, first, 1) == attempt(env, second, 1)
    observation, _ = env.reset(seed=0)
    seen = Observation(observation["proprio"], {}, observation["privileged"])
    first.reset(1)
    second.reset(2)
    assert not np.array_equal(first.poll(seen).action, second.poll(seen).action)


def test_faster_than_the_limits_is_not_possible() -> None:
    config = SimConfig(observation="privileged")
    env = DexEnv(config)
    operator = ScriptedOperator(config, Imperfection(noise=5.0))
    observation, _ = env.reset(seed=0)
    for _ in range(10):
        action = operator.poll(Observation(observation["proprio"], {}, observation["privileged"])).action
        assert action is not None
        assert (np.abs(action) <= 1.0).all()
        observation, *_ = env.step(action)


def test_operator_needs_the_truth() -> None:
    operator = ScriptedOperator(SimConfig(), CLEAN)
    with pytest.raises(DexloopError, match="privileged"):
        operator.poll(Observation(np.zeros(25, dtype=np.float32)))
