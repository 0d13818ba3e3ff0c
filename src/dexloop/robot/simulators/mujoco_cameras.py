"""Cameras that look at the simulated robot, in a thread of their own."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from dexloop.robot.camera_sections import CameraSection
from dexloop.robot.devices import DeviceError, Frame
from dexloop.robot.drivers.cameras import Intrinsics, View
from dexloop.robot.simulators.mujoco_robot import MujocoRobot

# So many pixels a side there are for each of a hand view's. Rendering is paid by the pixel.
_FINER = 1.25


@dataclass(frozen=True, slots=True)
class Optics:
    """whole: height and width of what the device is to send [pixels]. view: what becomes of it. lens: of it. fps: of
    its mode [Hz].
    """

    whole: tuple[int, int]
    view: View
    lens: Intrinsics
    fps: float


def optics(section: CameraSection) -> Optics:
    """A camera that shows what the section's does: just that, or, where a hand view is cut from it, as finely as that
    needs at the distance of what the camera looks at.

    Then it also reaches as far to both sides of the crop as the device does on the side where that ends first.
    """
    height, width = section.size
    side, half = 0, math.tan(math.radians(section.view.fovy) / 2.0)
    if section.hand_view:
        _, left, high, wide = section.crop
        span = 2.0 * half * math.dist(section.view.position, section.view.target)
        height = min(high, max(height, math.ceil(_FINER * height * span / section.hand_view)))
        width = round(height * wide / high)
        side = max(0, round(height * min(left, section.whole[1] - left - wide) / high))
    whole = (height, width + 2 * side)
    focal = height / 2.0 / half
    lens = Intrinsics(focal, focal, (whole[1] - 1) / 2.0, (height - 1) / 2.0)
    return Optics(whole, View((0, side, height, width), section.size), lens, section.driver.fps)


class SimulatedCameras:
    """Takes pictures with every camera at the rate of its mode, until ``close``.

    cameras: by their names in the scene. Raises DexloopError without OpenGL.
    """

    def __init__(self, robot: MujocoRobot, cameras: Mapping[str, Optics]) -> None:
        self._robot, self.optics = robot, dict(cameras)
        self._frames: dict[str, Frame] = {}
        self._failure: str | None = None
        self._closing = threading.Event()
        begun: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(begun,), name="simulated cameras", daemon=True)
        self._thread.start()
        begun.result()

    def newest(self, camera: str) -> Frame:
        """The newest picture of a camera; raises DeviceError where none can be taken any more."""
        if self._failure is not None:
            raise DeviceError(self._failure)
        return self._frames[camera]

    def close(self) -> None:
        """End the thread; again does nothing."""
        self._closing.set()
        self._thread.join()

    def _run(self, begun: Future[None]) -> None:
        # OpenGL wants all of its work done in one thread.
        try:
            picture = self._robot.eye()
            due = dict.fromkeys(self.optics, time.monotonic())
            counters = dict.fromkeys(self.optics, 0)
            while not self._closing.is_set():
                camera = min(due, key=lambda name: due[name])
                if self._closing.wait(max(0.0, due[camera] - time.monotonic())):
                    break
                seen = self.optics[camera]
                seconds = time.monotonic()
                # A camera that is late leaves pictures out.
                due[camera], counters[camera] = max(due[camera] + 1.0 / seen.fps, seconds), counters[camera] + 1
                whole = picture(camera, *seen.whole)
                self._frames[camera] = Frame(seen.view.of(whole), counters[camera], seconds, whole)
                if len(self._frames) == len(self.optics) and not begun.done():
                    begun.set_result(None)
        except Exception as error:
            self._failure = str(error)
            if not begun.done():
                begun.set_exception(error)


class SimulatedCamera:
    """One of them as a ``dexloop.robot.devices.Camera``."""

    def __init__(self, name: str, cameras: SimulatedCameras) -> None:
        self.name, self._cameras = name, cameras

    @property
    def whole_intrinsics(self) -> Intrinsics | None:
        """Of ``Frame.whole``."""
        return self._cameras.optics[self.name].lens

    def read(self) -> Frame:
        """The newest picture."""
        return self._cameras.newest(self.name)

    def close(self) -> None:
        """The others go on."""
