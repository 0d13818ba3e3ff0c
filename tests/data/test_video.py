from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dexloop.data.video import decode_video, encode_video, video_is_whole
from dexloop.errors import DexloopError
from tests.data.samples import mean_error, scene
from tests.digests import digest


@pytest.mark.parametrize("size", [(64, 64), (15, 21), (120, 160)])
def test_frames_come_back_within_the_codecs_error(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = np.stack([scene(size, step, shade=step) for step in range(30)])
    path = tmp_path / "video.mp4"
    path.write_bytes(encode_video(frames, fps=10.0))
    images = np.zeros_like(frames)
    decode_video(path, images, fps=10.0)
    assert mean_error(images, frames) < 2.0
    assert np.percentile(np.abs(images.astype(int) - frames), 99) <= 10, "colours must not bleed"


@pytest.mark.parametrize("size", [(32, 32), (48, 40)])
def test_the_same_frames_give_the_same_bytes(size: tuple[int, int]) -> None:
    """Whatever memory held before: an encoder that reads beyond a picture makes another video now and then."""
    frames = np.stack([scene(size, step, shade=5) for step in range(8)])
    rng = np.random.default_rng(0)
    made: set[str] = set()
    for _ in range(300):
        _dirt = [np.full(rng.integers(1, 60_000), rng.integers(256), np.uint8) for _ in range(8)]
        made.add(digest(encode_video(frames, fps=12.5)))
    assert len(made) == 1


@pytest.mark.parametrize("first", [0, 1, 6, 17])
def test_decoding_starts_at_the_given_time(tmp_path: Path, first: int) -> None:
    frames = np.stack([np.full((16, 16, 3), 10 * step, np.uint8) for step in range(20)])
    path = tmp_path / "video.mp4"
    path.write_bytes(encode_video(frames, fps=30.0))
    images = np.zeros((3, 16, 16, 3), np.uint8)
    decode_video(path, images, fps=30.0, start=first / 30.0)
    assert mean_error(images, frames[first : first + 3]) < 3.0


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    frames = np.stack([scene((32, 48), step, shade=0) for step in range(5)])
    path = tmp_path / "video.mp4"
    path.write_bytes(encode_video(frames, fps=10.0))
    with pytest.raises(DexloopError, match=r"video\.mp4: holds 5 frames where the episode has 6"):
        decode_video(path, np.zeros((6, 32, 48, 3), np.uint8), fps=10.0)
    with pytest.raises(DexloopError, match="frames are 32x48, the dataset says 48x32"):
        decode_video(path, np.zeros((5, 48, 32, 3), np.uint8), fps=10.0)
    with pytest.raises(DexloopError, match="checksum"):
        decode_video(path, np.zeros((5, 32, 48, 3), np.uint8), fps=10.0, checksum=1)
    with pytest.raises(DexloopError, match="missing or damaged"):
        decode_video(tmp_path / "none.mp4", np.zeros((5, 32, 48, 3), np.uint8), fps=10.0)


def test_a_video_cut_anywhere_is_not_whole(tmp_path: Path) -> None:
    content = encode_video(np.stack([scene((16, 16), step, shade=0) for step in range(4)]), fps=10.0)
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    assert video_is_whole(path)
    for length in range(0, len(content), 101):
        path.write_bytes(content[:length])
        assert not video_is_whole(path), length
    assert not video_is_whole(tmp_path / "none.mp4")
