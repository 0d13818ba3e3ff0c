"""Where online episodes begin: new places, and those that failed until they succeed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from dexloop.config import TrainConfig
from dexloop.data.info import EpisodeInfo
from dexloop.errors import DexloopError
from dexloop.runtime.starts import Starts


def ended(seed: int, success: bool, info: Mapping[str, Any] | None = None) -> EpisodeInfo:
    return EpisodeInfo("lift-up", seed, success, success, 1.0, 1.0, True, 8, info=info or {})


def own(attempt: int) -> int:
    return 1000 + attempt


def test_every_start_is_new_unless_told_otherwise() -> None:
    starts = Starts(own, past=[ended(7, False)])
    assert [starts.reset_seed(i) for i in range(20)] == [own(i) for i in range(20)]


def test_a_share_of_the_starts_are_those_that_failed() -> None:
    starts = Starts(own, 0.4, past=[ended(7, False), ended(8, True), ended(9, False)])
    seeds = [starts.reset_seed(i) for i in range(1000)]
    again = [s for s in seeds if s < 1000]
    assert set(again) == {7, 9}
    assert 340 < len(again) < 460
    assert all(s == own(i) for i, s in enumerate(seeds) if s >= 1000)


def test_a_start_is_tried_again_until_it_succeeds() -> None:
    starts = Starts(own, 0.99, past=[ended(7, False)])
    starts.note(ended(own(0), False, {"reset_seed": 7}))
    assert {starts.reset_seed(i) for i in range(10)} == {7}
    starts.note(ended(own(1), True, {"reset_seed": 7}))
    assert [starts.reset_seed(i) for i in range(10)] == [own(i) for i in range(10)]


def test_which_starts_are_new_says_nothing_about_where_they_are() -> None:
    """A simulation draws its places from the same seeds: the mean of its first number must not move."""
    starts = Starts(own, 0.5, past=[ended(7, False)])
    new = [s for s in map(starts.reset_seed, range(2000)) if s != 7]
    places = [np.random.default_rng(s).random() for s in new]
    assert abs(np.mean(places) - 0.5) < 3 * 0.289 / np.sqrt(len(places))


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_cannot_be_meant_is_refused(share: float) -> None:
    with pytest.raises(DexloopError, match="retry-share must lie in"):
        TrainConfig(retry_share=share)
