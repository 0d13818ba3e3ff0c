"""Short clips for people: small camera images made large enough to look at, in the form browsers play."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from dexloop.data.files import TEMPORARY_SUFFIX, cannot_write, remove_files
from dexloop.errors import DexloopError
from dexloop.types import ImageArray

SMALLEST_SIDE = 256


def side_by_side(cameras: Mapping[str, ImageArray]) -> ImageArray:
    """All cameras {name: (T, H, W, 3)} in one row (T, H', W', 3), in the mapping's order.

    Cameras of other heights are enlarged by whole factors and padded with black below. Raises
    DexloopError without a camera or when the cameras do not hold the same number of frames.
    """
    if len({len(frames) for frames in cameras.values()}) != 1:
        counts = ", ".join(f"{name} {len(frames)}" for name, frames in cameras.items())
        raise DexloopError(f"cameras must hold the same number of frames, got: {counts or 'no camera'}")
    height = max(frames.shape[1] for frames in cameras.values())
    row: list[ImageArray] = []
    for frames in cameras.values():
        frames = enlarge(frames, height // frames.shape[1])
        row.append(np.pad(frames, ((0, 0), (0, height - frames.shape[1]), (0, 0), (0, 0))))
    return np.concatenate(row, axis=2)


def enlarge(frames: ImageArray, factor: int) -> ImageArray:
    """Frames (T, H, W, 3) with every pixel repeated: (T, factor * H, factor * W, 3)."""
    return frames if factor == 1 else frames.repeat(factor, axis=1).repeat(factor, axis=2)


def write_video(path: Path, frames: ImageArray, fps: float) -> None:
    """Write frames (T, H, W, 3) uint8 RGB as an MP4 (H.264, yuv420p, index first) at ``fps`` [frames/s].

    Small frames are enlarged by a whole factor, pixel by pixel, until the smaller side has 256
    pixels; an odd side repeats its last row or column, since H.264 with halved colour needs even
    ones. Raises DexloopError without a frame or where the file cannot be written.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise DexloopError(f"{path}: a video needs frames of shape (T, H, W, 3), got {frames.shape}")
    height, width = frames.shape[1:3]
    factor = max(ceil(SMALLEST_SIDE / min(height, width)), 1)
    padding = ((0, height * factor % 2), (0, width * factor % 2), (0, 0))
    temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(100_000))
            stream.height = height * factor + padding[0][1]
            stream.width = width * factor + padding[1][1]
            stream.pix_fmt = "yuv420p"
            stream.thread_count = 1
            stream.options = {"crf": "23", "preset": "medium"}
            for image in frames:
                # One frame at a time: an enlarged episode would take hundreds of megabytes.
                large = np.pad(enlarge(image[None], factor)[0], padding, mode="edge")
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(large), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        temporary.replace(path)
    except (OSError, FFmpegError) as error:
        remove_files([temporary])
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise DexloopError(f"{path}: the video cannot be encoded: {error}") from error
