"""Pictures as a camera compresses them."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from dexloop.types import ImageArray


def to_jpeg(image: ImageArray) -> bytes:
    """A picture (H, W, 3) as JPEG with half of the colour resolution, as webcams have it."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width, encoder.pix_fmt = image.shape[0], image.shape[1], "yuvj422p"
    encoder.time_base = Fraction(1, 30)
    encoder.options = {"qmin": "3", "qmax": "3"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
