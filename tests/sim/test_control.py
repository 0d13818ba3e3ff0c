"""Actions and targets: both forms, limits, and what the robot says it executed."""

from __future__ import annotations

import numpy as np
import pytest

from dexloop import DexloopError
from dexloop.sim.config import SimConfig
from dexloop.sim.control import ActionCodec, ActionForm, ControlLimits, checked_action
from dexloop.sim.env import DexEnv
from dexloop.sim.rotations import rotation_matrix, rotation_vector

FORMS: tuple[ActionForm, ...] = ("delta", "absolute")


@pytest.mark.parametrize(("form", "velocity"), [("delta", [True, False]), ("absolute", [False, False])])
def test_only_steps_of_the_arm_are_velocities(form: ActionForm, velocity: list[bool]) -> None:
    with DexEnv(SimConfig(action=form, observation="privileged")) as env:
        assert [group.velocity for group in env.robot_spec.action.groups] == velocity


@pytest.mark.parametrize("form", FORMS)
def test_encode_is_the_inverse_of_decode(form: ActionForm) -> None:
    codec = ActionCodec(form, ControlLimits(), 0.1)
    rng = np.random.default_rng(0)
    target = np.concatenate([rng.uniform(-0.1, 0.1, 6), rng.uniform(0.3, 0.7, 6)])
    for _ in range(50):
        action = rng.uniform(-0.8, 0.8, 12).astype(np.float32)
        new = codec.decode(action, target)
        again = codec.decode(codec.encode(target, new), target)
        np.testing.assert_allclose(again, new, atol=1e-6)
        target = new


def test_delta_moves_in_world_axes_at_the_highest_speed() -> None:
    codec = ActionCodec("delta", ControlLimits(linear_speed=0.2, angular_speed=1.0), 0.1)
    action = np.array([1, 0, -1, 0, 0, 0.5, *[-1] * 6], dtype=np.float32)
    new = codec.decode(action, np.zeros(12))
    np.testing.assert_allclose(new[:6], [0.02, 0.0, -0.02, 0.0, 0.0, 0.05], atol=1e-7)


def test_absolute_names_the_target_and_goes_there_no_faster_than_allowed() -> None:
    limits = ControlLimits()
    codec = ActionCodec("absolute", limits, 0.1)
    action = np.array([0.5, 0, 0, 0, 0, 0.25, *[-1] * 6], dtype=np.float32)
    target = np.zeros(12)
    for _ in range(30):
        new = codec.decode(action, target)
        assert np.abs(new[:3] - target[:3]).max() <= limits.linear_speed * 0.1 + 1e-9
        turn = rotation_vector(rotation_matrix(new[3:6]) @ rotation_matrix(target[3:6]).T)
        assert np.abs(turn).max() <= limits.angular_speed * 0.1 + 1e-9
        target = new
    np.testing.assert_allclose(target[:6], [0.15, 0, 0, 0, 0, 0.3], atol=1e-6)


def test_fingers_close_at_their_own_speed() -> None:
    codec = ActionCodec("delta", ControlLimits(finger_speed=2.0), 0.1)
    action = np.array([0] * 6 + [1] * 6, dtype=np.float32)
    target = np.zeros(12)
    for k in range(1, 7):
        target = codec.decode(action, target)
        np.testing.assert_allclose(target[6:], min(1.0, 0.2 * k), atol=1e-9)


def test_target_never_leaves_its_box() -> None:
    limits = ControlLimits()
    codec = ActionCodec("delta", limits, 0.1)
    target = np.zeros(12)
    for _ in range(60):
        target = codec.decode(np.ones(12, dtype=np.float32), target)
    assert (np.abs(target[:3]) <= limits.displacement).all()
    assert (np.abs(target[3:6]) <= limits.rotation).all()
    assert codec.in_box(target)


@pytest.mark.parametrize("bad", [[0.0] * 11, [[0.0] * 12], [np.nan] + [0.0] * 11, [np.inf] * 12, "stop", None])
def test_bad_actions_are_refused(bad: object) -> None:
    with pytest.raises(DexloopError, match="action must"):
        checked_action(bad)


def test_actions_beyond_the_range_are_clipped() -> None:
    np.testing.assert_array_equal(checked_action([3.0] * 6 + [-3.0] * 6), [1.0] * 6 + [-1.0] * 6)


@pytest.mark.parametrize("form", FORMS)
def test_executed_action_executes_as_itself(form: ActionForm) -> None:
    """Replaying what was executed gives the same motion, although some of what was asked for was refused."""
    asked, replayed = (DexEnv(observation="privileged", action=form) for _ in range(2))
    rng, refused = np.random.default_rng(2), 0
    for seed in range(2):
        asked.reset(seed=seed)
        replayed.reset(seed=seed)
        for k in range(40):
            if k % 7 == 0:
                action = rng.uniform(-1.0, 1.0, 12).astype(np.float32) * (1.0 if seed else 0.4)
            first, *_, info = asked.step(action)
            second, *_, again = replayed.step(info["executed"])
            refused += bool(np.abs(info["executed"] - action).max() > 1e-3)
            np.testing.assert_allclose(again["executed"], info["executed"], atol=0.02)
            np.testing.assert_allclose(second["proprio"], first["proprio"], atol=2e-3)
    assert refused > 0
