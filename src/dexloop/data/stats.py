"""Per-feature statistics of a dataset, kept up to date one episode at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexloop.types import ImageArray

_SAMPLED_FRAMES = 16


@dataclass(frozen=True, slots=True)
class FeatureStats:
    """min, max, mean and population std, each float64 of the feature's shape, over ``count`` rows.

    For cameras the arrays are (3, 1, 1), in [0, 1], over up to 16 frames an episode.
    """

    min: NDArray[np.float64]
    max: NDArray[np.float64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    count: int

    def combine(self, other: FeatureStats) -> FeatureStats:
        """The statistics of both sets of rows together (Chan, Golub and LeVeque, 1979, eq. 2.1)."""
        total = self.count + other.count
        share = other.count / total
        delta = other.mean - self.mean
        variance = (1 - share) * self.std**2 + share * other.std**2 + share * (1 - share) * delta**2
        return FeatureStats(
            min=np.minimum(self.min, other.min),
            max=np.maximum(self.max, other.max),
            mean=self.mean + share * delta,
            std=np.sqrt(variance),
            count=total,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "min": self.min.tolist(),
            "max": self.max.tolist(),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "count": [self.count],
        }


Stats = dict[str, FeatureStats]


def column_stats(column: NDArray[Any]) -> FeatureStats:
    """Statistics of a column (T,) or (T, n) over its rows; a scalar counts as a vector of one."""
    rows = column.reshape(len(column), -1).astype(np.float64)
    return FeatureStats(rows.min(0), rows.max(0), rows.mean(0), rows.std(0), len(rows))


def image_stats(images: ImageArray) -> FeatureStats:
    """Statistics of each colour of images (T, H, W, 3), over evenly spaced frames."""
    chosen = np.linspace(0, len(images) - 1, min(len(images), _SAMPLED_FRAMES)).astype(int)
    pixels = images[chosen].reshape(-1, 3).astype(np.float32) / 255
    mean, std = pixels.mean(0, dtype=np.float64), pixels.std(0, dtype=np.float64)
    low, high = pixels.min(0).astype(np.float64), pixels.max(0).astype(np.float64)
    return FeatureStats(*(value.reshape(3, 1, 1) for value in (low, high, mean, std)), count=len(chosen))


def combine_stats(total: Stats, episode: Mapping[str, FeatureStats]) -> Stats:
    """``total`` with one more episode; features that only one of them has are kept as they are."""
    combined = dict(total)
    for name, stats in episode.items():
        combined[name] = combined[name].combine(stats) if name in combined else stats
    return combined
