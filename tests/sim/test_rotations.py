"""Rotation helpers against each other and against known values."""

from __future__ import annotations

import numpy as np
import pytest

from dexloop.sim.rotations import frame, quaternion, rotation_matrix, rotation_vector, yaw_matrix


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.7, 3.0, np.pi - 1e-7, np.pi])
def test_vector_and_matrix_are_inverse(angle: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        axis = rng.normal(size=3)
        vector = angle * axis / np.linalg.norm(axis)
        matrix = rotation_matrix(vector)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(rotation_matrix(rotation_vector(matrix)), matrix, atol=1e-6)
        assert np.linalg.norm(rotation_vector(matrix)) == pytest.approx(angle, abs=1e-6)


def test_quarter_turn_about_the_vertical() -> None:
    np.testing.assert_allclose(yaw_matrix(np.pi / 2) @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(rotation_vector(yaw_matrix(0.5)), [0.0, 0.0, 0.5], atol=1e-12)
    np.testing.assert_allclose(quaternion(yaw_matrix(np.pi / 2)), np.sqrt(0.5) * np.array([1, 0, 0, 1]), atol=1e-12)


def test_frame_keeps_its_third_axis_and_is_right_handed() -> None:
    matrix = frame(z=[1.0, 0.3, -0.1], x=[0.0, 1.0, 0.0])
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    np.testing.assert_allclose(np.cross(matrix[:, 2], [1.0, 0.3, -0.1]), 0.0, atol=1e-12)
