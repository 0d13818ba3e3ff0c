"""Cameras that follow the USB Video Class, through OpenCV: webcams, and the ZED 2 with its two pictures in one."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dexloop.errors import DexloopError
from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.cameras.camera import LiveCamera, Shot, Timing
from dexloop.robot.drivers.cameras.picture import View
from dexloop.robot.drivers.cameras.pinhole import Intrinsics

if TYPE_CHECKING:
    import cv2
    from cv2.typing import MatLike

Part = Literal["whole", "left", "right"]

# V4L2_CID_EXPOSURE_AUTO: 1 manual, 3 aperture priority, which is what UVC cameras call automatic, 0 automatic.
# https://docs.kernel.org/userspace-api/media/v4l/ext-ctrls-camera.html
_MANUAL, _AUTOMATIC = 1, (3, 0)
# V4L2_CID_EXPOSURE_ABSOLUTE counts 100 microseconds (same page).
_EXPOSURE_UNIT = 1e-4
# Marker EOI of ITU-T T.81, table B.1.
_END_OF_IMAGE = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class UvcConfig:
    """A camera and its mode, which must be one that it has (``v4l2-ctl --list-formats-ext``).

    name: under which it appears in observations. device: /dev/v4l/by-id/..., /dev/videoN, or the URL of a stream.
    height, width [pixels] and fps [Hz]: what the device sends, both halves where there are two. fourcc: of its pixel
    format. part: the half of a side-by-side picture that is used. exposure [s], white_balance [K], gain (the device's
    own numbers): fixed, or None for automatic ones; a gain of None is left as it is. intrinsics: of the part that is
    used, where they are known. view: what is cut from that and how it is resized.
    """

    name: str
    device: str
    height: int = 480
    width: int = 640
    fps: float = 30.0
    fourcc: str = "MJPG"
    part: Part = "whole"
    exposure: float | None = None
    white_balance: float | None = None
    gain: float | None = None
    intrinsics: Intrinsics | None = None
    view: View = field(default_factory=View)
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        """Raise DexloopError for a mode that no camera has."""
        if min(self.height, self.width) < 1 or not 0.0 < self.fps < float("inf") or len(self.fourcc) != 4:
            raise DexloopError(
                f"camera {self.name}: no camera sends {self.height} x {self.width} pixels of {self.fourcc!r} "
                f"at {self.fps:g} Hz"
            )
        for what, value in (("exposure", self.exposure), ("white balance", self.white_balance)):
            if value is not None and not 0.0 < value < float("inf"):
                raise DexloopError(f"camera {self.name}: a fixed {what} must be positive, got {value}")
        if self.part != "whole" and self.width % 2:
            raise DexloopError(f"camera {self.name}: a width of {self.width} pixels has no halves")
        if "://" in self.device and any(v is not None for v in (self.exposure, self.white_balance, self.gain)):
            raise DexloopError(f"camera {self.name}: exposure, white balance and gain cannot be set over {self.device}")


def zed2(name: str, device: str, view: View | None = None, intrinsics: Intrinsics | None = None) -> UvcConfig:
    """A ZED 2's left picture at 720 x 1280 and 30 Hz; it sends both, uncompressed, and needs USB 3.

    https://www.stereolabs.com/docs/video/camera-controls lists its other modes.
    """
    return UvcConfig(name, device, 720, 2560, 30.0, "YUYV", part="left", view=view or View(), intrinsics=intrinsics)


def open_uvc(config: UvcConfig) -> LiveCamera:
    """Open a camera and wait for its first picture. Raises DexloopError without OpenCV, DeviceError as LiveCamera."""
    _library()
    return LiveCamera(config.name, lambda: UvcSource(config), config.view, config.timing)


class UvcSource:
    """An open UVC camera, or a stream of one."""

    def __init__(self, config: UvcConfig) -> None:
        """Raises DeviceError for a device that is missing, is not ours, or does not have the mode."""
        self._config, self._cv2 = config, _library()
        self.intrinsics = config.intrinsics
        self._polled = self._compressed = False
        self._capture = self._stream() if "://" in config.device else self._device()
        if not self._capture.isOpened():
            raise DeviceError(f"{config.device} cannot be opened: is another program using it, or is it no camera?")

    def read(self, timeout: float) -> Shot | None:
        """See ``Source``. A stream may take its own time, at most ``Timing.lost`` [s]."""
        if not self._grab(timeout):
            return None
        image = self._picture()
        if image is None:
            # It was damaged on its way; the next may be whole.
            return None
        wanted = (self._config.height, self._config.width)
        if image.shape[:2] != wanted:
            raise DeviceError(
                f"{self._config.device} sends {image.shape[0]} x {image.shape[1]} pixels, not {wanted[0]} x {wanted[1]}"
            )
        half = wanted[1] // 2
        part = {"whole": image, "left": image[:, :half], "right": image[:, half:]}[self._config.part]
        return Shot(self._cv2.cvtColor(part, self._cv2.COLOR_BGR2RGB))  # pyright: ignore[reportArgumentType]

    def close(self) -> None:
        self._capture.release()

    def _grab(self, timeout: float) -> bool:
        cv2, since = self._cv2, time.monotonic()
        try:
            if self._polled:
                # Without it a silent device keeps its reader for ten seconds.
                ready = len(cv2.VideoCapture.waitAny([self._capture], int(timeout * 1e9))[1]) > 0
                # That it did not wait either means that the device reports an error.
                if ready or time.monotonic() - since > timeout / 2:
                    return ready
            elif self._capture.grab():
                return True
        except cv2.error as error:
            raise DeviceError(f"{self._config.device}: {error}") from None
        raise DeviceError(f"{self._config.device} is gone: unplugged, or its stream ended")

    def _picture(self) -> MatLike | None:
        """What was grabbed (H, W, 3), BGR; None where that is no whole picture."""
        retrieved, image = self._capture.retrieve()
        if not retrieved or not self._compressed:
            return image if retrieved else None
        # While it captures, OpenCV leaves the last picture in what a damaged one lacks, and OpenCV 4.10 decodes half a
        # JPEG without a word. Some cameras pad theirs with zeros.
        whole = image.tobytes().rstrip(b"\0").endswith(_END_OF_IMAGE)
        return self._cv2.imdecode(image, self._cv2.IMREAD_COLOR) if whole else None

    def _stream(self) -> cv2.VideoCapture:
        cv2, timing = self._cv2, self._config.timing
        limits = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: int(1000 * timing.opening),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: int(1000 * timing.lost),
            # More threads decode more pictures at a time, and each comes later by that.
            cv2.CAP_PROP_N_THREADS: 1,
        }
        return cv2.VideoCapture(self._config.device, cv2.CAP_FFMPEG, [v for pair in limits.items() for v in pair])

    def _device(self) -> cv2.VideoCapture:
        cv2, device = self._cv2, self._config.device
        if not sys.platform.startswith("linux"):
            capture = cv2.VideoCapture(int(device) if device.isdecimal() else device)
        elif not Path(device).exists():
            raise DeviceError(f"there is no {device}; `ls /dev/v4l/by-id` shows the cameras that are plugged in")
        elif not os.access(device, os.R_OK | os.W_OK):
            raise DeviceError(f"{device} may not be opened: add this user to the group `video` and log in again")
        else:
            self._polled, self._compressed = True, self._config.fourcc == "MJPG"
            capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if capture.isOpened():
            try:
                self._set_mode(capture)
                self._set_controls(capture)
            except DexloopError:
                capture.release()
                raise
        return capture

    def _set_mode(self, capture: cv2.VideoCapture) -> None:
        cv2, wanted = self._cv2, self._config
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*wanted.fourcc))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, wanted.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wanted.height)
        capture.set(cv2.CAP_PROP_FPS, wanted.fps)
        if self._compressed:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        # A device answers with the nearest mode that it has, without a word.
        height, width = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("ascii", "replace")
        fps = capture.get(cv2.CAP_PROP_FPS)
        if (height, width, fourcc) != (wanted.height, wanted.width, wanted.fourcc) or fps < wanted.fps - 0.5:
            raise DeviceError(
                f"{wanted.device} offers {height} x {width} pixels of {fourcc} at {fps:g} Hz, not {wanted.height} x "
                f"{wanted.width} of {wanted.fourcc} at {wanted.fps:g}; see v4l2-ctl --list-formats-ext"
            )

    def _set_controls(self, capture: cv2.VideoCapture) -> None:
        """Automatic ones too are set: a camera remembers what the last program wanted."""
        cv2, wanted = self._cv2, self._config
        if wanted.exposure is None:
            any(capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, mode) for mode in _AUTOMATIC)
        else:
            capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL)
            self._fix(capture, "exposure", cv2.CAP_PROP_EXPOSURE, round(wanted.exposure / _EXPOSURE_UNIT))
        if wanted.white_balance is None:
            capture.set(cv2.CAP_PROP_AUTO_WB, 1)
        else:
            capture.set(cv2.CAP_PROP_AUTO_WB, 0)
            self._fix(capture, "white balance", cv2.CAP_PROP_WB_TEMPERATURE, wanted.white_balance)
        if wanted.gain is not None:
            self._fix(capture, "gain", cv2.CAP_PROP_GAIN, wanted.gain)

    def _fix(self, capture: cv2.VideoCapture, what: str, number: int, value: float) -> None:
        done = capture.set(number, value)
        if not done or abs(capture.get(number) - value) > 0.5:
            raise DeviceError(
                f"{self._config.device} does not take {value:g} for its {what}; see v4l2-ctl --list-ctrls for its range"
            )


def _library():
    try:
        import cv2
    except ImportError as error:
        raise DexloopError(f"UVC cameras need OpenCV: pip install 'dexloop[cameras]' ({error})") from None
    return cv2
