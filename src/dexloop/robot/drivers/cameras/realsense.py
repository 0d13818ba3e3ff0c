"""RealSense cameras, through the maker's SDK: the colour stream, with the intrinsics that the device knows."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.cameras.camera import LiveCamera, Shot, Timing
from dexloop.robot.drivers.cameras.picture import View
from dexloop.robot.drivers.cameras.pinhole import Intrinsics

# A colour sensor counts its exposure in 100 us, a depth sensor, which gives a D405's colours, in 1 us:
# https://github.com/IntelRealSense/librealsense/issues/8243
_COLOUR_EXPOSURES = 1e4


@dataclass(frozen=True, slots=True)
class RealSenseConfig:
    """A camera and a mode of its colour stream, which must be one that it has (``rs-enumerate-devices``).

    name: under which it appears in observations. serial: printed on the device; None where there is only one. height,
    width [pixels], fps [Hz]. exposure [s], white_balance [K]: fixed, or None for automatic ones. view: what is cut
    from the picture and how it is resized.
    """

    name: str
    serial: str | None = None
    height: int = 480
    width: int = 640
    fps: int = 30
    exposure: float | None = None
    white_balance: float | None = None
    view: View = field(default_factory=View)
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        """Raise DexloopError for a mode that no camera has."""
        if min(self.height, self.width, self.fps) < 1:
            raise DexloopError(
                f"camera {self.name}: no camera sends {self.height} x {self.width} pixels at {self.fps} Hz"
            )
        for what, value in (("exposure", self.exposure), ("white balance", self.white_balance)):
            if value is not None and not 0.0 < value < float("inf"):
                raise DexloopError(f"camera {self.name}: a fixed {what} must be positive, got {value}")


def open_realsense(config: RealSenseConfig, find: Callable[[str | None], Any] | None = None) -> LiveCamera:
    """Open a camera and wait for its first picture.

    find: gives the SDK's device of a serial number; by default, of those that are plugged in. Raises DexloopError
    without the SDK, DeviceError as LiveCamera.
    """
    load_sdk()
    return LiveCamera(config.name, lambda: RealSenseSource(config, find or plugged_in), config.view, config.timing)


def load_sdk() -> Any:
    """The module pyrealsense2. Raises DexloopError where it cannot be loaded."""
    try:
        return importlib.import_module("pyrealsense2")
    except ModuleNotFoundError:
        raise DexloopError("RealSense cameras need pyrealsense2: pip install 'dexloop[cameras]'") from None
    except ImportError as error:
        raise DexloopError(
            f"pyrealsense2 cannot be loaded: {error} (libusb comes with: apt install libusb-1.0-0)"
        ) from None


def plugged_in(serial: str | None) -> Any:
    """The device with this serial number, or the only one. Raises DeviceError for none, or too many."""
    rs = load_sdk()
    try:
        devices = {device.get_info(rs.camera_info.serial_number): device for device in rs.context().query_devices()}
    except RuntimeError as error:
        raise DeviceError(f"RealSense cameras cannot be listed: {error}") from None
    there = f"plugged in: {', '.join(devices) or 'none'}"
    if serial is None and len(devices) == 1:
        return next(iter(devices.values()))
    if serial is None or serial not in devices:
        raise DeviceError(f"no RealSense camera {serial or 'without a serial number to choose it by'}; {there}")
    return devices[serial]


class RealSenseSource:
    """An open colour stream."""

    def __init__(self, config: RealSenseConfig, find: Callable[[str | None], Any]) -> None:
        """Raises DeviceError for a device that is missing, is not ours, or does not have the mode."""
        rs = load_sdk()
        device = find(config.serial)
        self._pipeline = rs.pipeline()
        try:
            _set_controls(rs, device, config)
            wanted = rs.config()
            wanted.enable_stream(rs.stream.color, config.width, config.height, rs.format.rgb8, config.fps)
            self._pipeline.set_device(device)
            stream = self._pipeline.start(wanted).get_stream(rs.stream.color).as_video_stream_profile()
            told = stream.get_intrinsics()
        except RuntimeError as error:
            raise DeviceError(
                f"the RealSense {config.serial or 'camera'} does not send {config.height} x {config.width} pixels "
                f"at {config.fps} Hz: {error}"
            ) from None
        self.intrinsics: Intrinsics | None = Intrinsics(told.fx, told.fy, told.ppx, told.ppy)

    def read(self, timeout: float) -> Shot | None:
        """See ``Source``."""
        try:
            came, frames = self._pipeline.try_wait_for_frames(int(1000 * timeout))
            colour = frames.get_color_frame() if came else None
            if not colour:
                return None
            # The SDK uses its memory again.
            return Shot(np.array(colour.get_data(), np.uint8), colour.get_frame_number())
        except RuntimeError as error:
            raise DeviceError(f"RealSense: {error}") from None

    def close(self) -> None:
        # Of a device that is gone there is nothing to stop.
        with contextlib.suppress(RuntimeError):
            self._pipeline.stop()


def _set_controls(rs: Any, device: Any, config: RealSenseConfig) -> None:
    """Automatic ones too are set: a camera remembers what the last program wanted."""
    sensor = _colour_sensor(rs, device)
    exposures = 1e6 if sensor.is_depth_sensor() else _COLOUR_EXPOSURES
    pairs = (
        (rs.option.enable_auto_exposure, rs.option.exposure, config.exposure, exposures),
        (rs.option.enable_auto_white_balance, rs.option.white_balance, config.white_balance, 1.0),
    )
    for automatic, option, value, units in pairs:
        if sensor.supports(automatic):
            sensor.set_option(automatic, float(value is None))
        if value is None:
            continue
        if not sensor.supports(option):
            raise DeviceError(f"it has no {option.name} to set")
        allowed = sensor.get_option_range(option)
        if not allowed.min <= value * units <= allowed.max:
            raise DeviceError(
                f"it takes {allowed.min / units:g} to {allowed.max / units:g} for its {option.name}, not {value:g}"
            )
        sensor.set_option(option, value * units)


def _colour_sensor(rs: Any, device: Any) -> Any:
    """The sensor that has the colour stream: of its own on a D435, the depth sensor on a D405."""
    for sensor in device.query_sensors():
        if any(profile.stream_type() == rs.stream.color for profile in sensor.get_stream_profiles()):
            return sensor
    raise DeviceError("this RealSense camera has no colour stream")
