"""A RealSense camera without its hardware: the SDK's software device, whose frames pass through the SDK's pipeline."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.cameras.pinhole import Intrinsics
from dexloop.robot.drivers.cameras.realsense import load_sdk
from dexloop.robot.simulators.cameras.feed import Feed


class SimulatedRealSense:
    """Sends a feed as its colour stream until ``close``; give ``find`` to ``open_realsense``.

    The SDK's context does not list software devices (2.59.1), but its pipeline takes them. stereo: the colours come
    from the depth sensor, as a D405's do, which counts exposures in 1 us instead of 100. Raises DexloopError without
    the SDK.
    """

    def __init__(
        self, feed: Feed, intrinsics: Intrinsics, serial: str = "000000000001", *, stereo: bool = False
    ) -> None:
        rs = self._rs = load_sdk()
        self.feed, self.serial = feed, serial
        self._device: Any = rs.software_device()
        self._device.register_info(rs.camera_info.serial_number, serial)
        self._device.register_info(rs.camera_info.name, "Simulated RealSense")
        self.sensor: Any = self._device.add_sensor("Stereo Module" if stereo else "RGB Camera")
        self._options(stereo)
        self._profile = self.sensor.add_video_stream(self._stream(intrinsics))
        self._device.create_matcher(rs.matchers.default)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated-realsense", daemon=True)
        self._thread.start()

    def __enter__(self) -> SimulatedRealSense:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, serial: str | None) -> Any:
        """The SDK's device. Raises DeviceError for another serial number, or while it is unplugged."""
        if self.feed.fault == "unplugged" or serial not in (None, self.serial):
            raise DeviceError(f"no RealSense camera {serial or ''}; plugged in: none")
        return self._device

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _options(self, stereo: bool) -> None:
        rs = self._rs
        ranges: dict[Any, tuple[float, float, float, float]] = {
            rs.option.enable_auto_exposure: (0, 1, 1, 1),
            rs.option.exposure: (1, 165_000, 1, 8500) if stereo else (1, 10_000, 1, 156),
            rs.option.enable_auto_white_balance: (0, 1, 1, 1),
            rs.option.white_balance: (2800, 6500, 10, 4600),
        }
        if stereo:
            # By this option the SDK tells a depth sensor.
            ranges[rs.option.depth_units] = (1e-4, 1e-2, 1e-4, 1e-3)
        for option, (least, most, step, usual) in ranges.items():
            allowed = rs.option_range()
            allowed.min, allowed.max, allowed.step, allowed.default = least, most, step, usual
            self.sensor.add_option(option, allowed, True)

    def _stream(self, intrinsics: Intrinsics) -> Any:
        rs, feed = self._rs, self.feed
        lens = rs.intrinsics()
        lens.width, lens.height, lens.model = feed.width, feed.height, rs.distortion.none
        lens.fx, lens.fy, lens.ppx, lens.ppy = intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
        stream = rs.video_stream()
        stream.type, stream.index, stream.uid, stream.fmt = rs.stream.color, 0, 1, rs.format.rgb8
        stream.width, stream.height, stream.fps, stream.bpp = feed.width, feed.height, int(feed.fps), 3
        stream.intrinsics = lens
        return stream

    def _run(self) -> None:
        sent, due = 0, time.monotonic()
        while not self._closing.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1.0 / self.feed.fps, time.monotonic() - 1.0)
            picture = self.feed.next()
            if picture is None:
                continue
            sent += 1
            frame = self._rs.software_video_frame()
            frame.pixels, frame.bpp, frame.stride = np.ascontiguousarray(picture), 3, 3 * self.feed.width
            frame.timestamp, frame.domain = 1000 * time.time(), self._rs.timestamp_domain.system_time
            # A device whose picture is frozen goes on counting.
            frame.frame_number, frame.profile = sent, self._profile.as_video_stream_profile()
            self.sensor.on_video_frame(frame)
