"""The arm's kinematics against themselves, against MuJoCo and against the maker's SDK."""

from __future__ import annotations

import numpy as np
import pytest

from dexloop.sim.env import DexEnv
from dexloop.sim.kinematics import POSTURE_HIGH, POSTURE_LOW, ArmKinematics, pose
from dexloop.sim.rotations import quaternion, rotation_vector


def test_jacobian_is_the_derivative_of_the_pose() -> None:
    arm = ArmKinematics(np.eye(4), pose([0.03, 0.0, 0.12], np.eye(3)))
    q = np.array([0.3, -1.2, -1.6, 0.5, 1.2, 0.4])
    here, jacobian, step = arm.forward(q), arm.jacobian(q), 1e-6
    for i in range(6):
        there = arm.forward(q + step * np.eye(6)[i])
        np.testing.assert_allclose((there[:3, 3] - here[:3, 3]) / step, jacobian[:3, i], atol=1e-5)
        turn = rotation_vector(there[:3, :3] @ here[:3, :3].T) / step
        np.testing.assert_allclose(turn, jacobian[3:, i], atol=1e-5)


def test_inverse_finds_what_forward_gave() -> None:
    arm = ArmKinematics(np.eye(4), np.eye(4))
    rng = np.random.default_rng(1)
    start = np.array([0.3, -1.2, -1.6, 0.5, 1.2, 0.4])
    for _ in range(20):
        goal = arm.forward(start + rng.uniform(-0.3, 0.3, 6))
        solution = arm.solve(start, goal)
        assert solution.residual < 1e-5
        np.testing.assert_allclose(arm.forward(solution.q), goal, atol=1e-4)


def test_inverse_of_the_unreachable_stays_within_the_posture() -> None:
    arm = ArmKinematics(np.eye(4), np.eye(4))
    solution = arm.solve(np.array([0.3, -1.2, -1.6, 0.5, 1.2, 0.4]), pose([2.0, 0.0, 0.3], np.eye(3)))
    assert solution.residual > 0.5
    assert (solution.q >= POSTURE_LOW).all()
    assert (solution.q <= POSTURE_HIGH).all()


def test_scene_is_built_from_the_same_table() -> None:
    env = DexEnv(observation="privileged")
    env.reset(seed=3)
    simulation = env.simulation
    measured = simulation.kinematics.forward(simulation.data.qpos[:6])
    position, rotation = simulation.ee_pose()
    np.testing.assert_allclose(position, measured[:3, 3], atol=2e-4)
    np.testing.assert_allclose(rotation, measured[:3, :3], atol=2e-3)


def test_forward_agrees_with_the_makers_sdk() -> None:
    sdk = pytest.importorskip("Robotic_Arm.rm_robot_interface")
    oracle = sdk.Algo(sdk.rm_robot_arm_model_e.RM_MODEL_RM_65_E, sdk.rm_force_type_e.RM_MODEL_RM_B_E)
    arm = ArmKinematics(np.eye(4), np.eye(4))
    rng = np.random.default_rng(0)
    for _ in range(50):
        q = rng.uniform(-2.0, 2.0, 6)
        theirs = np.array(oracle.rm_algo_forward_kinematics(np.degrees(q).tolist(), 0))
        ours = arm.forward(q)
        np.testing.assert_allclose(ours[:3, 3], theirs[:3], atol=1e-6)
        assert abs(quaternion(ours[:3, :3]) @ theirs[3:]) == pytest.approx(1.0, abs=1e-6)
