"""The plush doll: soft, within reach, and held only when all of it is in the hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import mujoco
import numpy as np
import pytest

from dexloop.operators.scripted import CLEAN, ScriptedOperator
from dexloop.sim.config import SimConfig
from dexloop.sim.env import DexEnv
from dexloop.sim.randomisation import Randomisation
from dexloop.sim.rotations import Array
from dexloop.sim.simulation import Simulation
from dexloop.sim.state import SceneState
from dexloop.sim.tasks.base import load_task
from dexloop.types import Observation

TASK = load_task("loopy")
PARTS = ("chest", "head", "left_arm", "right_arm", "left_leg", "right_leg", "tail")
HELD = SceneState(
    ee_position=np.array([0.35, -0.03, 0.15]),
    ee_rotation=TASK.ee_rotation,
    object_position=np.array([0.38, 0.01, 0.13]),
    object_up=np.array([0.5, 0.0, 0.87]),
    object_yaw=0.4,
    height=0.10,
    velocity=np.zeros(3),
    contacts=(False, False, True, True, True),
    supported=False,
    fingers=np.full(6, 0.7),
)


def doll(env: DexEnv) -> int:
    """Where the doll's pose begins in qpos."""
    return int(env.simulation.model.joint("object").qposadr[0])


def bends(simulation: Simulation) -> dict[str, float]:
    """By how much each joint of the doll is bent [rad]."""
    data = simulation.data
    return {part: 2.0 * float(np.arccos(min(1.0, abs(data.joint(part).qpos[0])))) for part in PARTS}


def pinned(env: DexEnv, quat: Array) -> dict[str, float]:
    """The bends after one second with the belly held in the air at that rotation and the rest of the doll free."""
    simulation, start = env.simulation, doll(env)
    model, data = simulation.model, simulation.data
    data.qpos[start + 2], data.qpos[start + 3 : start + 7] = 0.30, quat
    data.joint("object").qvel[:] = 0.0
    # As if in a vice: with a rotor of ten tonnes the belly does not fall, and the parts on it feel gravity.
    first = int(model.joint("object").dofadr[0])
    model.dof_armature[first : first + 6] = 1e4
    mujoco.mj_step(model, data, round(1.0 / model.opt.timestep))
    return bends(simulation)


def episode(env: DexEnv, seed: int) -> bool:
    """One episode of the clean operator; whether it succeeded."""
    operator = ScriptedOperator(env.config, CLEAN)
    seen, info = env.reset(seed=seed)
    operator.reset(seed)
    ended = False
    while not ended:
        action = operator.poll(Observation(seen["proprio"], {}, seen["privileged"])).action
        seen, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
    return bool(info["is_success"])


@pytest.mark.parametrize("reset", ["fixed", "random"])
def test_clean_operator_lifts_the_doll(reset: Literal["fixed", "random"]) -> None:
    env = DexEnv(SimConfig(task="loopy", observation="privileged", reset=reset))
    assert [episode(env, seed) for seed in range(700, 706)] == [True] * 6


def test_clean_operator_lifts_dolls_of_every_size_and_mass() -> None:
    for factor in (0.8, 1.2):
        exactly = (factor, factor)
        other = Randomisation(mass=exactly, size=exactly, friction=exactly)
        env = DexEnv(SimConfig(task="loopy", observation="privileged", randomise=other))
        data = env.simulation.data
        env.simulation.model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
        assert episode(env, 710)
        assert np.isfinite(data.energy).all()
        assert np.abs(data.qvel).max() < 20.0
        assert data.warning.number.sum() == 0


def test_counts_as_held_only_in_the_required_way() -> None:
    assert TASK.holding(HELD)
    assert TASK.holding(replace(HELD, object_up=np.array([1.0, 0.0, 0.0]))), "a soft doll may hang any way it likes"
    assert not TASK.holding(replace(HELD, height=0.05))
    assert not TASK.holding(replace(HELD, contacts=(True, True, True, True, False)))
    assert not TASK.holding(replace(HELD, contacts=(False, False, False, False, True)))
    assert not TASK.holding(replace(HELD, velocity=np.array([0.0, 0.0, 0.2])))
    assert not TASK.holding(replace(HELD, supported=True))


@pytest.mark.parametrize(("lift", "counts"), [(0.114, False), (0.140, True)])
def test_doll_by_the_leg_with_its_head_on_the_table_does_not_count(lift: float, counts: bool) -> None:
    env = DexEnv(task="loopy", observation="privileged")
    env.reset(seed=0)
    simulation, start = env.simulation, doll(env)
    simulation.data.qpos[start + 2 : start + 7] = (lift, 0.0, 1.0, 0.0, 0.0)
    mujoco.mj_forward(simulation.model, simulation.data)
    state = simulation.state()
    assert state.object_up[2] == pytest.approx(-1.0)
    assert state.height > 0.06
    assert state.supported is not counts
    by_the_leg = replace(state, velocity=np.zeros(3), contacts=(False, False, False, True, True))
    assert TASK.holding(by_the_leg) is counts


def test_doll_yields_to_the_hand() -> None:
    env = DexEnv(task="loopy", observation="privileged")
    env.reset(seed=720)
    assert max(bends(env.simulation).values()) < 0.1
    assert episode(env, 720)
    assert max(bends(env.simulation).values()) > 0.3


def test_doll_pinned_by_its_belly_droops_and_springs_back() -> None:
    env = DexEnv(task="loopy", observation="privileged")
    env.reset(seed=0)
    sitting = bends(env.simulation)
    lying = pinned(env, np.array([np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0]))
    assert lying["head"] > sitting["head"] + 0.05
    assert lying["left_leg"] > 0.05
    assert lying["right_leg"] > 0.05
    upright = pinned(env, np.array([1.0, 0.0, 0.0, 0.0]))
    assert upright["head"] == pytest.approx(sitting["head"], abs=0.03)


def test_every_start_is_within_reach_at_rest_and_repeatable() -> None:
    env = DexEnv(task="loopy", observation="privileged", reset="random")
    places: list[tuple[float, float, float]] = []
    for seed in range(50):
        first, info = env.reset(seed=seed)
        state, qpos = env.simulation.state(), env.simulation.data.qpos.copy()
        assert not info["holding"]
        assert state.supported
        assert not any(state.contacts)
        assert np.linalg.norm(state.velocity) < 0.01
        assert state.object_up[2] > 0.99
        places.append((state.object_position[0], state.object_position[1], state.object_yaw))
        if seed < 5:
            again, _ = env.reset(seed=seed)
            assert all(np.array_equal(first[key], again[key]) for key in first)
            np.testing.assert_array_equal(env.simulation.data.qpos, qpos)
    spread = np.ptp(np.array(places), axis=0)
    assert (spread > [0.08, 0.08, 0.95]).all()


def test_doll_left_alone_keeps_sitting_where_it_is() -> None:
    env = DexEnv(task="loopy", observation="privileged")
    env.reset(seed=3)
    before = env.simulation.state()
    for _ in range(50):
        env.hold()
    after = env.simulation.state()
    assert np.linalg.norm(after.object_position - before.object_position) < 0.002
    assert after.object_up[2] > 0.99


def test_privileged_heading_tells_where_the_face_looks() -> None:
    env = DexEnv(task="loopy", observation="privileged", reset="random")
    seen, _ = env.reset(seed=1)
    head = env.simulation.data.body("head").xpos
    face = env.simulation.data.body("head").xmat.reshape(3, 3) @ [-1.0, 0.0, 0.0]
    sine, cosine = seen["privileged"][6:8]
    assert head[2] > 0.07
    np.testing.assert_allclose(face[:2], [-cosine, -sine], atol=0.05)
