"""The doll with a deformable belly: taken as the other one, and it does give way."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from dexloop import DexloopError
from dexloop.sim.config import SimConfig
from dexloop.sim.env import DexEnv
from dexloop.sim.randomisation import Randomisation
from dexloop.sim.rotations import Array
from dexloop.sim.tasks.base import load_task
from tests.sim.test_loopy import episode


def belly(env: DexEnv) -> Array:
    """The vertices of the belly (n, 3) in the doll's frame [m]."""
    data, name = env.simulation.data, "object"
    return (data.flexvert_xpos - data.body(name).xpos) @ data.body(name).xmat.reshape(3, 3)


def test_clean_operator_lifts_the_doll_and_presses_its_belly() -> None:
    env = DexEnv(SimConfig(task="loopy_flex", observation="privileged", reset="random"))
    pressed: list[float] = []
    for seed in (700, 701, 702):
        env.reset(seed=seed)
        at_rest = belly(env)
        assert not any(env.simulation.state().contacts)
        assert episode(env, seed)
        state = env.simulation.state()
        assert state.thumb and state.any_finger and not state.supported
        pressed.append(float(np.linalg.norm(belly(env) - at_rest, axis=1).max()))
        assert env.simulation.data.warning.number.sum() == 0
    assert min(pressed) > 0.003 and max(pressed) < 0.03, "a belly gives way, and stays one"


def test_belly_springs_back() -> None:
    env = DexEnv(task="loopy_flex", observation="privileged")
    env.reset(seed=0)
    model, data = env.simulation.model, env.simulation.data
    at_rest = belly(env)
    vertex = int(np.argmax(at_rest[:, 1]))
    slides = model.body(model.flex_vertbodyid[vertex]).jntadr[0]
    data.qpos[model.jnt_qposadr[slides + 1]] -= 0.01
    mujoco.mj_forward(model, data)
    assert (at_rest - belly(env))[vertex, 1] == pytest.approx(0.01, abs=1e-4)
    mujoco.mj_step(model, data, 250)
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(belly(env), at_rest, atol=0.001)


def test_a_belly_that_the_table_bears_is_supported() -> None:
    env = DexEnv(task="loopy_flex", observation="privileged")
    env.reset(seed=0)
    model, data = env.simulation.model, env.simulation.data
    touching = [(a, b) for a, b in data.contact.geom.tolist() if min(a, b) < 0]
    assert touching and all(max(pair) == model.geom("table").id for pair in touching)
    assert env.simulation.state().supported


def test_same_seed_gives_the_same_episode() -> None:
    env = DexEnv(task="loopy_flex", observation="privileged", reset="random")
    ends: list[Array] = []
    for _ in range(2):
        episode(env, 3)
        ends.append(env.simulation.data.qpos.copy())
    np.testing.assert_array_equal(*ends)


def test_mass_and_friction_vary_and_size_does_not() -> None:
    heavy = Randomisation(mass=(1.5, 1.5), friction=(0.5, 0.5))
    env = DexEnv(SimConfig(task="loopy_flex", observation="privileged", randomise=heavy))
    before, model = env.simulation.model.flex_friction.copy(), env.simulation.model
    mass = float(model.body_subtreemass[model.body("object").id])
    env.reset(seed=0)
    np.testing.assert_allclose(model.flex_friction, 0.5 * before)
    assert model.body_subtreemass[model.body("object").id] == pytest.approx(1.5 * mass)
    with pytest.raises(DexloopError, match="flexible"):
        DexEnv(SimConfig(task="loopy_flex", observation="privileged", randomise=Randomisation(size=(0.8, 1.2))))


def test_it_is_the_same_task_with_another_belly() -> None:
    soft, chain = load_task("loopy_flex"), load_task("loopy")
    assert (soft.holding, soft.plan, soft.random) == (chain.holding, chain.plan, chain.random)
    assert "flexcomp" in soft.mjcf and "flexcomp" not in chain.mjcf
