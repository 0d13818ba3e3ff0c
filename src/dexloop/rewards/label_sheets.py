"""Episodes as few large images: a page seeks exactly in an image, and only nearly in a video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

import av
import numpy as np

from dexloop.errors import DexloopError
from dexloop.types import ImageArray

# Browsers on phones refuse larger images, and a person needs no more of a camera to judge by.
_SHEET_SIDE = 4096
_CAMERA_SIDE = 320


@dataclass(frozen=True, slots=True)
class Sheets:
    """The frames of an episode as few images: all cameras of a frame in a cell, cells row by row.

    width, height: of a cell [pixels]. columns, rows: cells on a full sheet. images: JPEG files.
    """

    frames: int
    width: int
    height: int
    columns: int
    rows: int
    cameras: tuple[str, ...]
    images: tuple[bytes, ...]

    def as_json(self) -> dict[str, Any]:
        """What the page needs to find a frame."""
        return {
            "frames": self.frames,
            "width": self.width,
            "height": self.height,
            "columns": self.columns,
            "rows": self.rows,
            "cameras": self.cameras,
            "sheets": len(self.images),
        }


def make_sheets(cameras: Mapping[str, ImageArray]) -> Sheets:
    """Lay frames {camera: (T, H, W, 3)} out on sheets, the cameras of a frame side by side.

    Large images keep every n-th pixel. Raises DexloopError without a frame or for cameras that differ in
    their number of frames.
    """
    counts = {name: len(frames) for name, frames in cameras.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise DexloopError(f"every camera needs the same frames, got {counts}")
    small = [frames[:, :: _stride(frames), :: _stride(frames)] for frames in cameras.values()]
    total, height = len(small[0]), max(frames.shape[1] for frames in small)
    width = sum(frames.shape[2] for frames in small)
    columns = min(max(_SHEET_SIDE // width, 1), ceil(total**0.5))
    rows = min(max(_SHEET_SIDE // height, 1), ceil(total / columns))
    images: list[bytes] = []
    for first in range(0, total, columns * rows):
        cells = np.zeros((columns * rows, height, width, 3), np.uint8)
        left = 0
        for frames in small:
            part = frames[first : first + len(cells)]
            cells[: len(part), : part.shape[1], left : left + part.shape[2]] = part
            left += part.shape[2]
        grid = cells.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
        images.append(_jpeg(grid.reshape(rows * height, columns * width, 3)))
    return Sheets(total, width, height, columns, rows, tuple(cameras), tuple(images))


def _stride(frames: ImageArray) -> int:
    return ceil(max(frames.shape[1:3]) / _CAMERA_SIDE)


def _jpeg(image: ImageArray) -> bytes:
    """A JPEG file of an image (H, W, 3) uint8 RGB, colour at full resolution."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt = "yuvj444p"
    encoder.time_base = Fraction(1)
    encoder.thread_count = 1
    encoder.options = {"qmin": "2", "qmax": "2"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format="yuvj444p")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
