"""What a policy sees of a camera's picture: a part of it, in its size.

It takes numpy alone, so that simulations can do the same. Every pixel of a result is the mean of the area that it
covers in the source, also where that is a fraction of a pixel: nothing aliases when a picture shrinks, and a picture
that grows repeats its pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexloop.errors import DexloopError
from dexloop.robot.drivers.cameras.pinhole import Intrinsics
from dexloop.types import ImageArray

# Of a smaller window the edges between pixels would be lost in rounding [pixels].
_SMALLEST = 1e-3


@dataclass(frozen=True, slots=True)
class View:
    """crop: (top, left, height, width) [pixels] of the device's picture; None: all of it. size: (height, width) of the
    result; None: as large as what was cut. A ratio of sides that differs from the crop's stretches the picture."""

    crop: tuple[int, int, int, int] | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Raise DexloopError for a part or size without pixels."""
        if self.crop is not None and (min(self.crop[:2]) < 0 or min(self.crop[2:]) < 1):
            raise DexloopError(f"a crop is (top, left, height, width) within the picture, not {self.crop}")
        if self.size is not None and min(self.size) < 1:
            raise DexloopError(f"a picture's size is (height, width) of at least 1 pixel, not {self.size}")

    def of(self, image: ImageArray) -> ImageArray:
        """The view (h, w, 3) of a picture (H, W, 3). Raises DexloopError where the crop leaves the picture."""
        top, left, height, width = self._crop(image.shape[:2])
        cut = image[top : top + height, left : left + width]
        if self.size is None or self.size == (height, width):
            return np.ascontiguousarray(cut)
        edges = [np.linspace(0.0, full, count + 1) for full, count in zip((height, width), self.size, strict=True)]
        return _means(cut, edges[0], edges[1])

    def intrinsics(self, whole: Intrinsics, shape: tuple[int, ...]) -> Intrinsics:
        """Of the view, where a picture of this shape (H, W, ...) has ``whole``."""
        top, left, height, width = self._crop(shape[:2])
        down, across = self.size or (height, width)
        return whole.cropped(left, top).resized(across / width, down / height)

    def _crop(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        top, left, height, width = self.crop or (0, 0, *shape)
        if top + height > shape[0] or left + width > shape[1]:
            raise DexloopError(f"the crop {self.crop} leaves a picture of {shape[0]} x {shape[1]} pixels")
        return top, left, height, width


def window(image: ImageArray, centre_px: tuple[float, float], side_px: float, size: int) -> ImageArray:
    """A square (size, size, 3) around a point of a picture (H, W, 3), black where it leaves the picture.

    centre_px: (x, y) as ``Intrinsics.project`` gives it; the centre of the first pixel is (0, 0). side_px: side of the
    square in the picture [pixels]. Raises DexloopError for numbers that are not finite, or a square without pixels.
    """
    if not all(map(math.isfinite, (*centre_px, side_px))) or side_px < _SMALLEST or size < 1:
        raise DexloopError(f"no window of {side_px:g} pixels around {centre_px} can be shown in {size} pixels")
    first = [c + 0.5 - side_px / 2 for c in centre_px]
    across, down = (start + np.linspace(0.0, side_px, size + 1) for start in first)
    return _means(image, down, across)


def _means(image: ImageArray, down: NDArray[np.float64], across: NDArray[np.float64]) -> ImageArray:
    """Means of the rectangles between these edges [pixels from the picture's corner]; outside the picture is black."""
    rows, columns = (_touched(edges, count) for edges, count in zip((down, across), image.shape[:2], strict=True))
    part = np.ascontiguousarray(image[rows, columns], np.float32)
    if part.size == 0:
        return np.zeros((len(down) - 1, len(across) - 1, 3), np.uint8)
    flat = _shares(down - rows.start, part.shape[0]) @ part.reshape(part.shape[0], -1)
    shares = _shares(across - columns.start, part.shape[1])
    means = np.einsum("xw,ywc->yxc", shares, flat.reshape(len(flat), *part.shape[1:]), optimize=True)
    return np.clip(np.rint(means), 0, 255).astype(np.uint8)


def _touched(edges: NDArray[np.float64], count: int) -> slice:
    first, last = np.clip([math.floor(edges[0]), math.ceil(edges[-1])], 0, count)
    return slice(int(first), int(last))


def _shares(edges: NDArray[np.float64], count: int) -> NDArray[np.float32]:
    """How much of the length between two edges (n + 1) each of ``count`` pixels covers: (n, count)."""
    reach = np.clip(edges[:, None] - np.arange(count), 0.0, 1.0)
    return (np.diff(reach, axis=0) / np.diff(edges)[:, None]).astype(np.float32)
