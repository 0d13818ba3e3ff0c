"""A camera whose newest picture is always at hand: one thread reads the device and keeps nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.devices import DeviceError, Frame
from dexloop.robot.drivers.cameras.picture import View
from dexloop.robot.drivers.cameras.pinhole import Intrinsics
from dexloop.types import ImageArray

# The longest that a source is asked to wait for a picture, so that close() is quick [s].
_PATIENCE = 0.1
_JOIN = 2.0


@dataclass(frozen=True, slots=True)
class Timing:
    """opening [s]: until the first picture, at most. stale [s]: age at which the newest picture is an error, whether
    nothing came since or only the same again. lost [s]: without a picture, after which the device is opened anew.
    retry [s]: between two attempts at that."""

    opening: float = 8.0
    stale: float = 0.5
    lost: float = 2.0
    retry: float = 1.0

    def __post_init__(self) -> None:
        """Raise DexloopError for a time that cannot be meant."""
        for name in self.__dataclass_fields__:
            if not 0.0 < getattr(self, name) < float("inf"):
                raise DexloopError(f"{name} must be positive and finite, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Shot:
    """What a device sent: image (H, W, 3) uint8 RGB; number: the device's own count of it, None where it has none."""

    image: ImageArray
    number: int | None = None


class Source(Protocol):
    """An open device. Opened, read and closed in one thread."""

    @property
    def intrinsics(self) -> Intrinsics | None:
        """Of the pictures that ``read`` gives; None where nobody knows them."""
        ...

    def read(self, timeout: float) -> Shot | None:
        """The next picture; None for none in about this time [s]. Raises DeviceError where none will come any more."""
        ...

    def close(self) -> None: ...


class LiveCamera:
    """A ``Camera`` that is read in a thread of its own, and opened anew after it was unplugged.

    A picture that equals the one before it, pixel for pixel, is not a new one: no sensor is so free of noise. So the
    counter stands still for a device that repeats itself as well as for one that is silent.
    """

    def __init__(
        self, name: str, connect: Callable[[], Source], view: View | None = None, timing: Timing | None = None
    ) -> None:
        """Open the device and wait for its first picture.

        name: under which it appears in observations. connect: opens it; called in the camera's thread. Raises
        DeviceError for a device that cannot be opened, sends no picture in time, or one that ``view`` does not fit.
        """
        self._name, self._connect = name, connect
        self._view, self._timing = view or View(), timing or Timing()
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._intrinsics: Intrinsics | None = None
        self._whole_intrinsics: Intrinsics | None = None
        self._error: str | None = None
        self._heard = time.monotonic()
        self._shot: Shot | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"dexloop-camera-{name}", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._frame or self._error, self._timing.opening)
            error = self._error or f"sent no picture within {self._timing.opening:g} s"
            frame = self._frame
        if frame is None:
            self.close()
            raise DeviceError(f"camera {name}: {error}")
        self.size: tuple[int, int] = (frame.image.shape[0], frame.image.shape[1])
        """Height and width of its pictures [pixels]."""

    @property
    def name(self) -> str:
        return self._name

    @property
    def intrinsics(self) -> Intrinsics | None:
        """Of the pictures that ``latest`` gives, crop and size included; None where nobody knows them."""
        return self._intrinsics

    @property
    def whole_intrinsics(self) -> Intrinsics | None:
        """Of ``Frame.whole``, what the device sends; None where nobody knows them."""
        return self._whole_intrinsics

    def latest(self) -> Frame:
        """The newest picture, without waiting. The caller must not write into it.

        Raises DeviceError where nothing came for ``stale`` seconds, or nothing but the same picture.
        """
        with self._changed:
            frame, heard, error = self._frame, self._heard, self._error
        now = time.monotonic()
        if self._closing.is_set() or frame is None:
            raise DeviceError(f"camera {self._name} is closed")
        if now - heard > self._timing.stale:
            why = f": {error}" if error else ""
            raise DeviceError(f"camera {self._name} has sent no whole picture for {now - heard:.1f} s{why}")
        if now - frame.seconds > self._timing.stale:
            raise DeviceError(f"camera {self._name} has sent the same picture for {now - frame.seconds:.1f} s")
        return frame

    def read(self) -> Frame:
        """``latest``, as ``Camera`` has it."""
        return self.latest()

    def close(self) -> None:
        """End the thread, which closes the device; a device that does not answer is left to it."""
        self._closing.set()
        self._thread.join(_JOIN)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                source = self._connect()
                try:
                    self._follow(source)
                finally:
                    source.close()
            except Exception as problem:
                # Nobody would hear of a thread that ended.
                self._report(str(problem) if isinstance(problem, DexloopError) else repr(problem))
            self._closing.wait(self._timing.retry)

    def _follow(self, source: Source) -> None:
        heard = time.monotonic()
        while not self._closing.is_set():
            shot, now = source.read(_PATIENCE), time.monotonic()
            if shot is not None:
                heard = now
                self._take(shot, source, now)
            elif now - heard > self._timing.lost:
                raise DeviceError(f"no whole picture for {now - heard:.1f} s, opening it anew")

    def _take(self, shot: Shot, source: Source, now: float) -> None:
        old, self._shot = self._shot, shot
        frame = self._frame
        if frame is None or old is None or not _same(old, shot):
            counter = 1 if frame is None else frame.counter + 1
            frame = Frame(self._view.of(shot.image), counter, now, shot.image)
        known = source.intrinsics
        with self._changed:
            self._frame, self._heard, self._error = frame, now, None
            self._whole_intrinsics = known
            self._intrinsics = known and self._view.intrinsics(known, shot.image.shape)
            self._changed.notify_all()

    def _report(self, error: str) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()


def _same(old: Shot, new: Shot) -> bool:
    return (new.number is not None and new.number == old.number) or np.array_equal(old.image, new.image)
