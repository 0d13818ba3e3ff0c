"""Where a point in front of a camera appears in its picture, and in what is cut from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dexloop.errors import DexloopError


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Focal lengths fx, fy and principal point cx, cy [pixels] of a pinhole without lens distortion.

    The centre of the picture's first pixel is (0, 0), x to the right and y down, as RealSense and OpenCV have it.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        """Raise DexloopError for a value that cannot be meant."""
        if not all(map(math.isfinite, (self.fx, self.fy, self.cx, self.cy))) or min(self.fx, self.fy) <= 0.0:
            raise DexloopError(f"intrinsics must be finite, and focal lengths positive: {self}")

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """The pixel (u, v) of a point [m] in the camera's frame: x to the right, y down, z forward.

        Raises DexloopError for a point that is not in front of the camera.
        """
        if not z > 0.0:
            raise DexloopError(f"a point at a depth of {z:g} m is not in front of the camera")
        return self.fx * x / z + self.cx, self.fy * y / z + self.cy

    def cropped(self, left: float, top: float) -> Intrinsics:
        """Of what remains when so many pixels are cut off."""
        return Intrinsics(self.fx, self.fy, self.cx - left, self.cy - top)

    def resized(self, across: float, down: float) -> Intrinsics:
        """Of a picture that is larger by these factors; a picture begins half a pixel before its first centre."""
        cx, cy = (self.cx + 0.5) * across - 0.5, (self.cy + 0.5) * down - 0.5
        return Intrinsics(self.fx * across, self.fy * down, cx, cy)

    def windowed(self, centre: tuple[float, float], side: float, size: int) -> Intrinsics:
        """Of the square that ``picture.window`` cuts with the same arguments."""
        left, top = (c + 0.5 - side / 2 for c in centre)
        return self.cropped(left, top).resized(size / side, size / side)
