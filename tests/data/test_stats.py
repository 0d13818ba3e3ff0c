from __future__ import annotations

import numpy as np
import pytest

from dexloop.data.stats import Stats, column_stats, combine_stats, image_stats


def test_parts_combine_to_the_statistics_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(5 * k, 1 + k, size=(10 * k + 1, 3)) for k in range(4)]
    total: Stats = {}
    for part in parts:
        total = combine_stats(total, {"x": column_stats(part)})
    whole = np.concatenate(parts)
    stats = total["x"]
    np.testing.assert_allclose(stats.mean, whole.mean(0))
    np.testing.assert_allclose(stats.std, whole.std(0))
    np.testing.assert_array_equal(stats.min, whole.min(0))
    np.testing.assert_array_equal(stats.max, whole.max(0))
    assert stats.count == len(whole)
    assert stats.to_json()["count"] == [len(whole)]


def test_a_scalar_column_counts_as_a_vector_of_one() -> None:
    stats = column_stats(np.array([False, True, True, True]))
    assert stats.mean.tolist() == [0.75] and stats.max.tolist() == [1.0]


def test_images_have_a_number_for_each_colour_in_unit_range() -> None:
    images = np.zeros((40, 4, 6, 3), np.uint8)
    images[..., 1] = 51
    images[:, :2, :, 2] = 255
    stats = image_stats(images)
    assert stats.mean.shape == (3, 1, 1) and stats.count == 16
    assert stats.mean.ravel() == pytest.approx([0.0, 0.2, 0.5])
    assert stats.std.ravel() == pytest.approx([0.0, 0.0, 0.5], abs=1e-6)
    assert stats.max.ravel() == pytest.approx([0.0, 0.2, 1.0])
