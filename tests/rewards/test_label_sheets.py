from __future__ import annotations

import io

import av
import numpy as np
import pytest

from dexloop.errors import DexloopError
from dexloop.rewards.label_sheets import Sheets, make_sheets


def _cell(sheets: Sheets, frame: int) -> np.ndarray:
    """Where the page looks for a frame."""
    sheet, cell = divmod(frame, sheets.columns * sheets.rows)
    with av.open(io.BytesIO(sheets.images[sheet])) as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24")
    top = cell // sheets.columns * sheets.height
    left = cell % sheets.columns * sheets.width
    return image[top : top + sheets.height, left : left + sheets.width]


def _numbered(count: int, height: int, width: int) -> np.ndarray:
    """Frames that each have a grey of their own, with a red left half."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames[:] = np.linspace(0, 250, count, dtype=np.uint8)[:, None, None, None]
    frames[:, :, : width // 2] = (200, 40, 30)
    return frames


def test_each_frame_is_found_with_both_cameras() -> None:
    front, wrist = _numbered(25, 64, 64), _numbered(25, 32, 48)[::-1]
    sheets = make_sheets({"front": front, "wrist": wrist})
    assert (sheets.frames, sheets.width, sheets.height, len(sheets.images)) == (25, 112, 64, 1)
    assert sheets.cameras == ("front", "wrist")
    for frame in (0, 7, 24):
        cell = _cell(sheets, frame).astype(int)
        assert np.abs(cell[:, :64] - front[frame]).max() < 12
        assert np.abs(cell[:32, 64:] - wrist[frame]).max() < 12


def test_large_and_long_episodes_become_several_sheets_of_bounded_size() -> None:
    frames = np.repeat(_numbered(150, 1, 2), 480, axis=1).repeat(320, axis=2)
    sheets = make_sheets({"front": frames, "wrist": frames})
    assert (sheets.width, sheets.height) == (640, 240)
    assert sheets.columns * sheets.width <= 4096 and sheets.rows * sheets.height <= 4096
    assert len(sheets.images) == 2
    for frame in (0, 101, 102, 149):
        assert np.abs(_cell(sheets, frame)[10, 310].astype(int) - frames[frame, 20, 620]).max() < 6


@pytest.mark.parametrize("counts", [(), (0,), (2, 3)])
def test_cameras_need_the_same_frames(counts: tuple[int, ...]) -> None:
    with pytest.raises(DexloopError, match="same frames"):
        make_sheets({f"camera{count}": np.zeros((count, 8, 8, 3), np.uint8) for count in counts})
