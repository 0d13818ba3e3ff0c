from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from dexloop.errors import DexloopError
from dexloop.report.video import side_by_side, write_video


def _frames(count: int, height: int, width: int) -> np.ndarray:
    """A bright square wanders over grey."""
    frames = np.full((count, height, width, 3), 90, np.uint8)
    for index in range(count):
        frames[index, 4:12, index : index + 8] = (220, 60, 40)
    return frames


def test_small_frames_come_back_large_and_in_the_form_browsers_play(tmp_path: Path) -> None:
    frames = _frames(12, 64, 128)
    path = tmp_path / "videos" / "before_0.mp4"
    write_video(path, frames, fps=10)

    content = path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")
    assert [file.name for file in path.parent.iterdir()] == ["before_0.mp4"]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 10
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert shown.shape == (12, 256, 512, 3)
    assert np.abs(shown[:, 2::4, 2::4].astype(int) - frames).mean() < 6


@pytest.mark.parametrize(("size", "expected"), [((33, 51), (264, 408)), ((301, 401), (302, 402))])
def test_sides_are_even(tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, _frames(2, *size), fps=7.5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == expected
        assert float(stream.average_rate or 0) == 7.5


def test_a_video_without_frames_or_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DexloopError, match=r"clip\.mp4"):
        write_video(tmp_path / "clip.mp4", np.zeros((0, 64, 64, 3), np.uint8), 10)
    (tmp_path / "file").write_text("")
    with pytest.raises(DexloopError, match=r"clip\.mp4"):
        write_video(tmp_path / "file" / "clip.mp4", _frames(1, 64, 64), 10)


def test_cameras_stand_side_by_side() -> None:
    front, wrist = _frames(3, 64, 64), _frames(3, 30, 32)
    row = side_by_side({"front": front, "wrist": wrist})
    assert row.shape == (3, 64, 64 + 64, 3)
    np.testing.assert_array_equal(row[:, :, :64], front)
    np.testing.assert_array_equal(row[:, :60:2, 64::2], wrist)
    assert not row[:, 60:, 64:].any()
    with pytest.raises(DexloopError, match="front 3, wrist 2"):
        side_by_side({"front": front, "wrist": wrist[:2]})
