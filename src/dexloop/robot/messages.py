"""Between dexloop's values and the service's messages; what comes from outside is checked here, and nowhere else."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from typing import Any, Literal

import av
import av.error
import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.backend import Sample, Truth
from dexloop.robot.devices import Frame
from dexloop.types import ActionGroup, ActionSpec, FloatArray, ImageArray, ObservationSpec, RobotSpec
from dexloop.v1 import robot_pb2 as pb

ImageForm = Literal["raw", "jpeg"]
MOST_BYTES = 16 * 2**20
"""The largest message either side takes."""
_MOST_PIXELS = 4096 * 4096
# Clients know the robot's clock to within half a round trip; a clock farther ahead than this is wrong [s].
_AHEAD = 0.5
# Pictures are small: threads take longer to start than to work, and far longer on a busy machine. From PyAV 17 on a
# conversion of colours starts one for every core.
_ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.partition(".")[0]) >= 17 else {}


def description_of(spec: RobotSpec, *, real_time: bool) -> pb.Description:
    """What a robot is, as a message."""
    return pb.Description(
        name=spec.name,
        task=spec.task,
        action_size=spec.action.size,
        action_groups=[
            pb.ActionGroup(name=g.name, start=g.start, stop=g.stop, velocity=g.velocity) for g in spec.action.groups
        ],
        action_names=spec.action.names,
        proprio_names=spec.observation.proprio_names,
        cameras=[pb.CameraSize(name=n, height=h, width=w) for n, (h, w) in spec.observation.cameras.items()],
        privileged_size=spec.observation.privileged,
        control_hz=spec.control_hz,
        max_steps=spec.max_steps,
        reset_seconds=spec.reset_seconds,
        robot_time=time.monotonic(),
        real_time=real_time,
    )


def spec_of(description: pb.Description) -> RobotSpec:
    """What the robot says it is; raises DexloopError where it cannot be."""
    if not 1 <= description.action_size <= 1024 or not 0.1 <= description.control_hz <= 1000:
        raise DexloopError(
            f"{description.name!r} describes {description.action_size} actions at {description.control_hz:g} Hz; "
            "this is no robot that dexloop can drive"
        )
    return RobotSpec(
        name=description.name,
        task=description.task,
        action=ActionSpec(
            size=description.action_size,
            groups=tuple(ActionGroup(g.name, g.start, g.stop, g.velocity) for g in description.action_groups),
            names=tuple(description.action_names),
        ),
        observation=ObservationSpec(
            proprio=len(description.proprio_names),
            cameras={c.name: (c.height, c.width) for c in description.cameras},
            privileged=description.privileged_size,
            proprio_names=tuple(description.proprio_names),
        ),
        control_hz=description.control_hz,
        max_steps=description.max_steps,
        reset_seconds=description.reset_seconds,
        can_hold=True,
    )


def refusal(action: pb.Action, size: int, last: int, now: float, longest: float) -> str | None:
    """Why an action must not be executed, in words; None where it may be.

    last: the sequence number before it; now: robot time [s]; longest: for which an action may be valid [s].
    """
    if action.sequence <= last:
        return f"sequence {action.sequence} after {last}: duplicate or out of order"
    if len(action.values) != size:
        return f"{len(action.values)} values, not {size}"
    if not all(math.isfinite(v) for v in action.values):
        return "values that are not finite"
    if not 0.0 < action.valid_for <= longest or not math.isfinite(action.issued_at):
        return f"valid for {action.valid_for:g} s; give more than 0 and at most {longest:g}"
    # From the future: one of the two clocks is wrong, and nobody knows how old the action is.
    age = now - action.issued_at
    if age < -_AHEAD:
        return f"issued {-age:.1f} s in the future: the clocks differ"
    if age > action.valid_for:
        return f"expired {1000 * (age - action.valid_for):.0f} ms ago"
    return None


def values_of(action: pb.Action) -> FloatArray:
    """An action's values (A,), clipped to [-1, 1]."""
    return np.clip(np.array(action.values, np.float32), -1.0, 1.0)


def observation_of(sample: Sample, sequence: int, form: ImageForm) -> pb.Observation:
    """A sample as a message."""
    message = pb.Observation(
        sequence=sequence,
        robot_time=sample.seconds,
        acknowledged=sample.acknowledged,
        executed=sample.executed,
        proprio=sample.proprio,
        images=[_image(camera, frame, form) for camera, frame in sample.images.items()],
        fault=sample.fault or "",
        truncated=sample.truncated,
    )
    if sample.truth is not None:
        message.truth.privileged.extend(sample.truth.privileged)
        message.truth.success, message.truth.holding = sample.truth.success, sample.truth.holding
    return message


def sample_of(message: pb.Observation) -> Sample:
    """The sample in a message; raises DexloopError for pictures whose size and data do not fit."""
    truth = None
    if message.HasField("truth"):
        told = message.truth
        truth = Truth(np.array(told.privileged, np.float32), told.success, told.holding)
    return Sample(
        proprio=np.array(message.proprio, np.float32),
        images={image.camera: _frame(image) for image in message.images},
        executed=np.array(message.executed, np.float32),
        seconds=message.robot_time,
        acknowledged=message.acknowledged,
        fault=message.fault or None,
        truncated=message.truncated,
        truth=truth,
    )


def _image(camera: str, frame: Frame, form: ImageForm) -> pb.Image:
    height, width = frame.image.shape[:2]
    jpeg = form == "jpeg"
    return pb.Image(
        camera=camera,
        height=height,
        width=width,
        encoding=pb.Image.ENCODING_JPEG if jpeg else pb.Image.ENCODING_RAW,
        data=_to_jpeg(frame.image) if jpeg else frame.image.tobytes(),
        counter=frame.counter,
        captured_at=frame.seconds,
    )


def _frame(image: pb.Image) -> Frame:
    shape = (image.height, image.width, 3)
    if not 0 < image.height * image.width <= _MOST_PIXELS:
        raise DexloopError(f"camera {image.camera!r} sends a picture of {image.height} x {image.width} pixels")
    if image.encoding == pb.Image.ENCODING_JPEG:
        pixels = _from_jpeg(image)
    elif len(image.data) == math.prod(shape):
        pixels = np.frombuffer(image.data, np.uint8).reshape(shape)
    else:
        raise DexloopError(f"camera {image.camera!r} sends {len(image.data)} bytes for {shape} pixels")
    if pixels.shape != shape:
        raise DexloopError(f"camera {image.camera!r} says {shape} pixels and sends {pixels.shape}")
    return Frame(pixels, image.counter, image.captured_at)


def _to_jpeg(pixels: ImageArray) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    height, width = pixels.shape[:2]
    encoder.height, encoder.width, encoder.pix_fmt = height, width, "yuvj444p"
    encoder.time_base = Fraction(1, 10)
    encoder.options = {"qmin": "2", "qmax": "2"}
    encoder.thread_count = 1
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def _from_jpeg(image: pb.Image) -> ImageArray:
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    try:
        frames = [*decoder.decode(av.Packet(image.data)), *decoder.decode(None)]
        return np.asarray(frames[0].reformat(format="rgb24", **_ONE_THREAD).to_ndarray(), np.uint8)
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise DexloopError(f"camera {image.camera!r} sends a JPEG that cannot be read: {error}") from None
