from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexloop.report.statistics import bootstrap_mean, rolling_mean, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    # Published values: R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0000, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_matches_published_intervals(successes: int, trials: int, expected: tuple[float, float]) -> None:
    assert wilson_interval(successes, trials) == pytest.approx(expected, abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate_inside_the_unit_interval(counts: tuple[int, int]) -> None:
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    assert 0.0 <= low <= successes / trials <= high <= 1.0
    assert low < high
    mirrored = wilson_interval(trials - successes, trials)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))


def test_wilson_refuses_the_impossible_and_knows_nothing_without_trials() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    for successes, trials in ((3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="successes"):
            wilson_interval(successes, trials)
    with pytest.raises(ValueError, match="confidence"):
        wilson_interval(1, 2, confidence=1.0)


def test_bootstrap_is_repeatable_and_covers_the_true_mean() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for repeat in range(100):
        seeds = [rng.normal(rng.normal(5.0, 0.5), 1.0, 20) for _ in range(10)]
        mean, low, high = bootstrap_mean(seeds, resamples=500, seed=repeat)
        assert low <= mean <= high
        covered += low <= 5.0 <= high
    assert 85 <= covered <= 100
    assert bootstrap_mean(seeds, resamples=500) == bootstrap_mean(seeds, resamples=500)


def test_bootstrap_weighs_seeds_alike_and_sees_their_spread() -> None:
    mean, low, high = bootstrap_mean([[0.0] * 90, [1.0] * 10])
    assert mean == 0.5
    assert (low, high) == (0.0, 1.0)
    assert bootstrap_mean([[2.0, 2.0]]) == (2.0, 2.0, 2.0)
    for wrong in ([], [[1.0], []]):
        with pytest.raises(ValueError, match="trial"):
            bootstrap_mean(wrong)


def test_rolling_mean_forgets_what_is_older_than_its_window_and_skips_gaps() -> None:
    values = [1.0, np.nan, 3.0, 5.0, np.nan, np.nan]
    np.testing.assert_allclose(rolling_mean(values, 2), [1.0, 1.0, 3.0, 4.0, 5.0, np.nan])
    np.testing.assert_allclose(rolling_mean(values, 3, least=2), [np.nan, np.nan, 2.0, 4.0, 4.0, np.nan])
