"""The environment's contract with Gymnasium and with the episode loop, without pictures."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import dexloop
from dexloop.sim.config import SimConfig
from dexloop.sim.env import PROPRIO_NAMES, PROPRIO_SIZE, DexEnv
from dexloop.sim.state import PRIVILEGED_NAMES, PRIVILEGED_SIZE
from dexloop.sim.tasks.base import task_names

REST = np.array([0.0] * 6 + [-1.0] * 5 + [0.66], dtype=np.float32)


@pytest.fixture
def env() -> DexEnv:
    env = DexEnv(observation="privileged", reset="random")
    env.reset(seed=0)
    return env


def rollout(env: DexEnv, seed: int, steps: int = 15) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    observation, _ = env.reset(seed=seed)
    seen = [np.concatenate([observation["proprio"], observation["privileged"]])]
    for _ in range(steps):
        observation, *_ = env.step(rng.uniform(-1.0, 1.0, 12).astype(np.float32))
        seen.append(np.concatenate([observation["proprio"], observation["privileged"]]))
    return seen


@pytest.mark.filterwarnings("error")
def test_gymnasium_and_stable_baselines_find_no_fault() -> None:
    made = gymnasium.make("dexloop/CupTaking-v0", observation="privileged", action="absolute").unwrapped
    check_env(made, skip_render_check=True)
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(made)


def test_spaces_and_spec_agree(env: DexEnv) -> None:
    assert env.observation_space["proprio"].shape == (PROPRIO_SIZE,) == (len(PROPRIO_NAMES),) == (34,)
    assert env.observation_space["privileged"].shape == (PRIVILEGED_SIZE,) == (len(PRIVILEGED_NAMES),)
    assert env.action_space.shape == (env.robot_spec.action.size,) == (12,)
    assert env.robot_spec.max_steps == 100
    assert env.robot_spec.can_hold


def test_the_robot_feels_where_its_hand_is_in_the_world_wherever_it_started(env: DexEnv) -> None:
    heights = []
    for seed in range(3):
        env.reset(seed=seed)
        for _ in range(4):
            observation, *_ = env.step(env.action_space.sample())
        seen, state = observation["proprio"], env.simulation.state()
        np.testing.assert_allclose(seen[24:27], state.ee_position, atol=1e-6)
        np.testing.assert_allclose(seen[27:30], state.ee_rotation[:, 0], atol=1e-6)
        np.testing.assert_allclose(seen[30:33], state.ee_rotation[:, 2], atol=1e-6)
        assert PROPRIO_NAMES[24:33] == PRIVILEGED_NAMES[18:27]
        heights.append(float(seen[26] - seen[2]))
    assert np.ptp(heights) > 0.005, "what is relative to the start does not tell the height above the table"


def test_same_seed_same_episode_bit_for_bit() -> None:
    first, second = (DexEnv(observation="privileged", reset="random") for _ in range(2))
    rollout(second, seed=1)  # A history must leave no trace.
    for a, b in zip(rollout(first, seed=5), rollout(second, seed=5), strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_seed_other_episode(env: DexEnv) -> None:
    assert not np.array_equal(rollout(env, seed=5)[0], rollout(env, seed=6)[0])


def test_random_reset_scatters_the_object_further_than_fixed() -> None:
    spread = {}
    for reset in ("fixed", "random"):
        env = DexEnv(observation="privileged", reset=reset)
        places = []
        for seed in range(20):
            env.reset(seed=seed)
            places.append(env.simulation.state().object_position[:2])
        spread[reset] = np.abs(np.array(places) - env.task.object_position).max(axis=0)
    assert (spread["fixed"] < 0.007).all()
    assert (spread["random"] > 0.05).all()


def test_deadline_truncates_and_holding_pauses_it() -> None:
    env = DexEnv(observation="privileged", max_seconds=0.5)
    observation, _ = env.reset(seed=0)
    for k in range(1, 6):
        rested = env.hold()
        assert rested["proprio"][-1] == observation["proprio"][-1]
        np.testing.assert_array_equal(rested["proprio"][12:24], observation["proprio"][12:24])
        observation, reward, terminated, truncated, info = env.step(REST)
        assert observation["proprio"][-1] == pytest.approx(1.0 - k / 5)
        assert (reward, terminated, truncated, info["fault"]) == (0.0, False, k == 5, None)
    with pytest.raises(dexloop.DexloopError, match="reset"):
        env.step(REST)


def test_stopped_robot_moves_only_after_rearm(env: DexEnv) -> None:
    env.stop()
    for move in (lambda: env.step(REST), lambda: env.reset(seed=0), env.hold):
        with pytest.raises(dexloop.DexloopError, match="rearm"):
            move()
    env.rearm()
    env.step(REST)


def test_bad_action_moves_nothing(env: DexEnv) -> None:
    before = env.simulation.data.qpos.copy()
    with pytest.raises(dexloop.DexloopError):
        env.step(np.full(12, np.nan, dtype=np.float32))
    np.testing.assert_array_equal(env.simulation.data.qpos, before)


def test_observation_latency_shows_the_past() -> None:
    now, late = DexEnv(observation="privileged"), DexEnv(observation="privileged", observation_latency=2)
    for seen, expected in zip(rollout(late, seed=3)[2:], rollout(now, seed=3)[:-2], strict=True):
        np.testing.assert_array_equal(seen, expected)


def test_hand_lags_behind_its_command() -> None:
    closing = REST.copy()
    closing[6] = 1.0
    closed = []
    for lag in (0.0, 0.08):
        env = DexEnv(observation="privileged", action_latency=(lag, lag))
        env.reset(seed=0)
        observation, *_ = env.step(closing)
        closed.append(float(observation["proprio"][6]))
    assert closed[0] > closed[1] + 0.05


@pytest.mark.parametrize(
    "wrong",
    [{"task": "juggling"}, {"action": "torque"}, {"control_hz": 0.0}, {"colour": "red"}, {"max_seconds": -1.0}],
)
def test_wrong_settings_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(dexloop.DexloopError, match=next(iter(wrong)).replace("_", ".")):
        DexEnv(**wrong)


def test_every_control_rate_divides_into_physics_steps() -> None:
    for hz in (5.0, 10.0, 15.0, 20.0, 30.0):
        simulation = DexEnv(SimConfig(observation="privileged", control_hz=hz)).simulation
        assert simulation.substeps * simulation.model.opt.timestep == pytest.approx(1.0 / hz)
        assert simulation.model.opt.timestep <= 0.004 + 1e-12


def test_privileged_observation_needs_no_opengl_and_import_is_light() -> None:
    script = (
        "import sys, dexloop, gymnasium; assert 'mujoco' not in sys.modules and 'torch' not in sys.modules;"
        "env = gymnasium.make('dexloop/CupTaking-v0', observation='privileged'); env.reset(seed=0);"
        "env.step(env.action_space.sample()); assert 'torch' not in sys.modules;"
        "env = gymnasium.make('dexloop/CupTaking-v0');"
        "\ntry: env.reset(seed=0)\nexcept dexloop.DexloopError as error: print(error)"
    )
    environment = {**os.environ, "MUJOCO_GL": "disable"}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "MUJOCO_GL=disable" in result.stdout


@pytest.mark.parametrize("task", task_names())
def test_every_task_is_an_environment_of_its_own(task: str) -> None:
    env = gymnasium.make(f"dexloop/{task.title().replace('_', '')}Taking-v0", observation="privileged")
    check_env(env.unwrapped, skip_render_check=True)
    assert env.unwrapped.task.name == task and env.unwrapped.task.summary
