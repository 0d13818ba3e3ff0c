"""Episodes whose images wait until somebody looks at them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dexloop.data.dataset import EpisodeDataset
from dexloop.errors import DexloopError
from tests.data.samples import SMALL_ROBOT, assert_same_numbers, make_episode


def test_late_images_are_the_images(tmp_path: Path) -> None:
    with EpisodeDataset.create(tmp_path / "demos", SMALL_ROBOT) as dataset:
        dataset.append(make_episode(SMALL_ROBOT, 0))
        dataset.append(make_episode(SMALL_ROBOT, 1, steps=5))
    early, late = dataset.episode(1), dataset.episode(1, late=True)
    assert_same_numbers(late, early)
    for one, other in zip(early.transitions, late.transitions, strict=True):
        for mine, theirs in (
            (one.observation, other.observation),
            (one.next_observation, other.next_observation),
        ):
            assert set(theirs.images) == {"top"} and len(theirs.images) == 1
            np.testing.assert_array_equal(mine.images["top"], theirs.images["top"])
    with pytest.raises(KeyError):
        late.transitions[0].observation.images["wrist"]


def test_numbers_are_there_without_the_video(tmp_path: Path) -> None:
    with EpisodeDataset.create(tmp_path / "demos", SMALL_ROBOT) as dataset:
        dataset.append(make_episode(SMALL_ROBOT, 0))
    for video in (tmp_path / "demos" / "videos").rglob("*.mp4"):
        video.write_bytes(b"")
    late = dataset.episode(0, late=True)
    assert_same_numbers(late, make_episode(SMALL_ROBOT, 0))
    with pytest.raises(DexloopError, match=r"\.mp4"):
        late.transitions[0].observation.images["top"]
    with pytest.raises(DexloopError, match=r"\.mp4"):
        dataset.episode(0)


def test_the_video_is_decoded_once(tmp_path: Path) -> None:
    with EpisodeDataset.create(tmp_path / "demos", SMALL_ROBOT) as dataset:
        dataset.append(make_episode(SMALL_ROBOT, 0))
    late = dataset.episode(0, late=True)
    first = late.transitions[0].observation.images["top"]
    for video in (tmp_path / "demos" / "videos").rglob("*.mp4"):
        video.unlink()
    second = late.transitions[1].observation.images["top"]
    assert first.base is not None and first.base is second.base
