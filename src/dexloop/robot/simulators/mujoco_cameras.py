"""Cameras that look at the simulated robot, in a thread of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future

from dexloop.robot.devices import DeviceError, Frame
from dexloop.robot.simulators.mujoco_robot import MujocoRobot

_PERIOD = 1.0 / 30.0


class SimulatedCameras:
    """Takes a picture with every camera 30 times a second, until ``close``.

    sizes: height and width of each camera's pictures [pixels]. Raises DexloopError without OpenGL.
    """

    def __init__(self, robot: MujocoRobot, sizes: Mapping[str, tuple[int, int]]) -> None:
        self._robot, self._sizes = robot, dict(sizes)
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
            counter, due = 0, time.monotonic()
            while not self._closing.wait(max(0.0, due - time.monotonic())):
                due, counter = max(due, time.monotonic() - _PERIOD) + _PERIOD, counter + 1
                for camera, (height, width) in self._sizes.items():
                    seconds = time.monotonic()
                    self._frames[camera] = Frame(picture(camera, height, width), counter, seconds)
                if not begun.done():
                    begun.set_result(None)
        except Exception as error:
            self._failure = str(error)
            if not begun.done():
                begun.set_exception(error)


class SimulatedCamera:
    """One of them as a ``dexloop.robot.devices.Camera``."""

    def __init__(self, name: str, cameras: SimulatedCameras) -> None:
        self.name, self._cameras = name, cameras

    def read(self) -> Frame:
        """The newest picture."""
        return self._cameras.newest(self.name)

    def close(self) -> None:
        """The others go on."""
