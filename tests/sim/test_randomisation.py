"""Randomisation changes what it says, within its ranges, and nothing adds up over resets."""

from __future__ import annotations

import numpy as np
import pytest

from dexloop.sim.env import DexEnv
from dexloop.sim.randomisation import Randomisation

REST = np.array([0.0] * 6 + [-1.0] * 5 + [0.66], dtype=np.float32)
WILD = Randomisation(
    mass=(0.5, 2.0), friction=(0.7, 1.3), size=(0.85, 1.1), light=(0.5, 1.5), camera_position=0.02, camera_rotation=0.05
)


def test_draws_stay_in_range_and_do_not_add_up() -> None:
    plain = DexEnv(observation="privileged").simulation.model
    env = DexEnv(observation="privileged", randomise=WILD)
    body, camera = plain.body("object").id, plain.camera("head").id
    factors = []
    for seed in range(25):
        env.reset(seed=seed)
        model = env.simulation.model
        factors.append(model.body_mass[body] / plain.body_mass[body])
        assert np.abs(model.cam_pos[camera] - plain.cam_pos[camera]).max() <= 0.02
        assert 0.5 - 1e-9 <= model.light_diffuse[0, 0] / plain.light_diffuse[0, 0] <= 1.5 + 1e-9
    assert 0.5 <= min(factors) < 0.8
    assert 1.5 < max(factors) <= 2.0


@pytest.mark.parametrize("size", [0.85, 1.1])
def test_resized_object_stands_at_rest(size: float) -> None:
    env = DexEnv(observation="privileged", randomise=Randomisation(size=(size, size)))
    env.reset(seed=0)
    for _ in range(5):
        env.step(REST)
    state = env.simulation.state()
    assert state.object_position[2] == pytest.approx(0.045 * size, abs=1e-3)
    assert state.object_up[2] > 0.999


def test_randomised_episodes_are_seeded_too() -> None:
    first, second = (DexEnv(observation="privileged", randomise=WILD) for _ in range(2))
    second.reset(seed=9)
    for env in (first, second):
        env.reset(seed=4)
    for _ in range(5):
        a, b = first.step(REST)[0], second.step(REST)[0]
    np.testing.assert_array_equal(a["privileged"], b["privileged"])


def test_push_moves_the_object_once_and_only_in_mid_episode() -> None:
    calm, pushed = (DexEnv(observation="privileged", randomise=Randomisation(push=p)) for p in (0.0, 0.35))
    for seed in range(5):
        calm.reset(seed=seed)
        pushed.reset(seed=seed)
        speeds: list[float] = []
        for _ in range(30):
            calm.step(REST)
            pushed.step(REST)
            speeds.append(float(np.linalg.norm(pushed.simulation.state().velocity)))
        first = next(i for i, speed in enumerate(speeds) if speed > 0.01)
        assert 4 <= first <= 25, "between half a second and two and a half"
        assert max(speeds[first + 10 :], default=0.0) < 0.02, "it comes to rest, and is not pushed again"
        moved = pushed.simulation.state().object_position - calm.simulation.state().object_position
        assert 0.001 < np.linalg.norm(moved) < 0.03
        assert pushed.simulation.state().object_up[2] > 0.99
