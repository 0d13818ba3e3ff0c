"""How sure a number is: intervals for success rates and for means over seeds and trials."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64Array = NDArray[np.float64]


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval (low, high) of a success rate; (0, 1) without a trial.

    It stays inside [0, 1] and keeps its coverage at 0 and 100 % of few trials, where the normal
    approximation has no width. Source: E. B. Wilson, "Probable inference, the law of succession, and
    statistical inference", JASA 22 (1927). Raises ValueError for impossible counts or confidence.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie in [0, trials], got {successes} of {trials}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate, shrink = successes / trials, z * z / trials
    centre = (rate + shrink / 2) / (1 + shrink)
    half = z / (1 + shrink) * sqrt(rate * (1 - rate) / trials + shrink / (4 * trials))
    # At the ends the bound is the end itself; rounding must not move it past.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


def bootstrap_mean(
    trials_by_seed: Sequence[ArrayLike],
    confidence: float = 0.95,
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """The mean over seeds of the mean over trials, with its percentile interval: (mean, low, high).

    trials_by_seed: for each training seed its trials (N_s,), in any unit. Seeds are drawn again first and
    then trials within each drawn seed, so the interval holds both kinds of luck; with one seed it
    only holds the trials'. The same ``seed`` gives the same interval. Source: A. C. Davison and
    D. V. Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8. Raises ValueError
    without a seed or for a seed without a trial.
    """
    samples = [np.asarray(trials, np.float64).ravel() for trials in trials_by_seed]
    if not samples or any(len(sample) == 0 for sample in samples):
        raise ValueError("every seed needs at least one trial, and there must be a seed")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(samples), size=(resamples, len(samples)))
    means = np.empty(drawn.shape)
    for index, sample in enumerate(samples):
        chosen = drawn == index
        again = rng.integers(len(sample), size=(int(chosen.sum()), len(sample)))
        means[chosen] = sample[again].mean(1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means.mean(1), [tail, 1 - tail])
    return float(np.mean([sample.mean() for sample in samples])), float(low), float(high)


def rolling_mean(values: ArrayLike, window: int, least: int = 1) -> Float64Array:
    """The mean (N,) over each value and those before it, ``window`` in all; NaN counts as absent.

    NaN where fewer than ``least`` values are there.
    """
    series = np.asarray(values, np.float64)
    known = np.isfinite(series)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, series, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    ends = np.arange(1, len(series) + 1)
    starts = np.maximum(ends - window, 0)
    members = count[ends] - count[starts]
    mean = (total[ends] - total[starts]) / np.maximum(members, 1)
    return np.where(members >= max(least, 1), mean, np.nan)
