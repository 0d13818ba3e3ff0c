"""What a simulated camera shows, and what goes wrong with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

import numpy as np

from dexloop.errors import DexloopError
from dexloop.types import ImageArray

Fault = Literal["frozen", "silent", "unplugged", "damaged"]
"""frozen: the same picture again and again. silent: the device is there and sends nothing. unplugged: it is gone.
damaged: half of each picture is lost on its way, where pictures travel compressed."""

_MOST_PIXELS = 4096 * 4096
_BITS = 16


class Feed:
    """Pictures of one size, one after the other, and at most one fault, which may be set at any time.

    paint: makes the picture (height, width, 3) of a number, 1 for the first; ``pattern`` by default.
    """

    def __init__(
        self, height: int, width: int, fps: float, paint: Callable[[int, int, int], ImageArray] | None = None
    ) -> None:
        """Raises DexloopError for a size or rate that nobody needs to simulate."""
        if not (0 < height * width <= _MOST_PIXELS and 0.0 < fps <= 240.0):
            raise DexloopError(f"no camera is simulated with {height} x {width} pixels at {fps:g} Hz")
        self.height, self.width, self.fps = height, width, fps
        self.fault: Fault | None = None
        self._paint = paint or pattern
        self._lock = threading.Lock()
        self._number = 0
        self._picture: ImageArray | None = None

    @property
    def number(self) -> int:
        """Of the newest picture."""
        return self._number

    def next(self) -> ImageArray | None:
        """The next picture (height, width, 3), the last one again while frozen, None while there is none to send."""
        with self._lock:
            if self.fault in ("silent", "unplugged"):
                return None
            if self._picture is None or self.fault != "frozen":
                self._number += 1
                self._picture = self._paint(self._number, self.height, self.width)
            return self._picture


def pattern(number: int, height: int, width: int) -> ImageArray:
    """A picture (height, width, 3) that tells its number: red grows to the right, green downwards, and 16 squares from
    left to right, in the middle of the height, are white for the ones of its binary form, the highest first."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    bits = [number >> bit & 1 for bit in reversed(range(_BITS))]
    edges = np.linspace(0, width, _BITS + 1).astype(int)
    for bit, left, right in zip(bits, edges, edges[1:], strict=False):
        image[height * 3 // 8 : height * 5 // 8, left:right] = 255 * bit
    return image


def number_of(image: ImageArray) -> int:
    """The number that ``pattern`` wrote, also after compression and resizing."""
    height, width = image.shape[:2]
    middles = ((np.arange(_BITS) + 0.5) * width / _BITS).astype(int)
    bits = image[height // 2, middles].mean(-1) > 127
    return int(sum(1 << i for i, bit in enumerate(reversed(bits)) if bit))
