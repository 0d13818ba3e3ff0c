"""A UVC camera as Linux shows it (V4L2), for a program that is started with ``environment``.

There is no device file that a program without rights could make, so a small library answers the program's system calls
on a named pipe: what reads the camera is the program's own V4L2 code, OpenCV's for one. Linux and a C compiler needed.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import struct
import subprocess
import threading
import time
from pathlib import Path

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.simulators.cameras.feed import Feed
from dexloop.robot.simulators.cameras.jpeg import to_jpeg
from dexloop.types import ImageArray

# struct state of v4l2.c: seven words, then the controls, of six words each.
_HEAD = struct.Struct("=7I")
_CONTROL = struct.Struct("=I5i")
# V4L2_CID_EXPOSURE_AUTO, _EXPOSURE_ABSOLUTE, _AUTO_WHITE_BALANCE, _WHITE_BALANCE_TEMPERATURE, _GAIN of
# linux/v4l2-controls.h: least, most, step, usual, and the value that the last program left.
_CONTROLS = {
    "exposure_auto": (0x009A0901, 0, 3, 1, 3, 1),
    "exposure": (0x009A0902, 1, 5000, 1, 157, 5000),
    "white_balance_auto": (0x0098090C, 0, 1, 1, 1, 0),
    "white_balance": (0x0098091A, 2800, 6500, 10, 4000, 2800),
    "gain": (0x00980913, 0, 255, 1, 0, 128),
}
_PICTURE = _HEAD.size + len(_CONTROLS) * _CONTROL.size


class V4l2Camera:
    """Sends a feed until ``close``, as MJPG or YUYV; ``device`` is what a program opens.

    folder: an empty one for the pipe, the state and the library. Raises DexloopError where there is no C compiler.
    """

    def __init__(self, feed: Feed, folder: Path, fourcc: str = "MJPG") -> None:
        if fourcc not in ("MJPG", "YUYV"):
            raise DexloopError(f"a simulated camera sends MJPG or YUYV, not {fourcc}")
        self.feed, self._fourcc = feed, fourcc
        self.device, self._state_path = folder / "video0", folder / "state"
        self._library = _compiled(folder / "v4l2.so")
        self._capacity = max(2 * feed.height * feed.width, mmap.PAGESIZE)
        self._capacity += -self._capacity % mmap.PAGESIZE
        self._state_path.write_bytes(bytes(_PICTURE + self._capacity))
        with self._state_path.open("r+b") as file:
            self._state = mmap.mmap(file.fileno(), 0)
        for i, control in enumerate(_CONTROLS.values()):
            _CONTROL.pack_into(self._state, _HEAD.size + i * _CONTROL.size, *control)
        self._describe(0, 0)
        os.mkfifo(self.device)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated-v4l2", daemon=True)
        self._thread.start()

    @property
    def environment(self) -> dict[str, str]:
        """With which a program sees the camera."""
        mine = {"DEXLOOP_V4L2": self.device, "DEXLOOP_V4L2_STATE": self._state_path, "LD_PRELOAD": self._library}
        return os.environ | {name: str(path) for name, path in mine.items()}

    @property
    def controls(self) -> dict[str, int]:
        """What a program has set, in the device's units."""
        first = [_HEAD.size + i * _CONTROL.size for i in range(len(_CONTROLS))]
        return dict(zip(_CONTROLS, (_CONTROL.unpack_from(self._state, at)[-1] for at in first), strict=True))

    def __enter__(self) -> V4l2Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unplug it, and end."""
        self._closing.set()
        self._thread.join()
        self._state.close()
        with contextlib.suppress(FileNotFoundError):
            self.device.unlink()

    def _describe(self, sequence: int, size: int) -> None:
        feed, fourcc = self.feed, int.from_bytes(self._fourcc.encode(), "little")
        _HEAD.pack_into(self._state, 0, feed.width, feed.height, fourcc, int(feed.fps), self._capacity, sequence, size)

    def _run(self) -> None:
        pipe: int | None = None
        sequence, due = 0, time.monotonic()
        while not self._closing.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1.0 / self.feed.fps, time.monotonic() - 1.0)
            pipe = self._plugged(pipe)
            picture = self.feed.next()
            if pipe is None or picture is None:
                continue
            sequence += 1
            data = to_jpeg(picture) if self._fourcc == "MJPG" else _yuyv(picture)
            if self.feed.fault == "damaged":
                data = data[: len(data) // 2]
            self._state[_PICTURE : _PICTURE + len(data)] = data
            self._describe(sequence, len(data))
            # Nobody may be reading, or not any more, or too slowly.
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(pipe, b"\0")
        if pipe is not None:
            os.close(pipe)

    def _plugged(self, pipe: int | None) -> int | None:
        """The pipe's end for pictures, which is open while the camera is plugged in."""
        if self.feed.fault == "unplugged":
            if pipe is not None:
                os.close(pipe)
                self.device.unlink()
            return None
        if pipe is None:
            if not self.device.exists():
                os.mkfifo(self.device)
            # A pipe that is open for reading as well never waits for a reader.
            return os.open(self.device, os.O_RDWR | os.O_NONBLOCK)
        return pipe


def _compiled(library: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        raise DexloopError("a simulated V4L2 camera needs a C compiler (cc)")
    source = Path(__file__).with_name("v4l2.c")
    done = subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], capture_output=True, text=True
    )
    if done.returncode:
        raise DexloopError(f"the simulated V4L2 camera does not compile: {done.stderr.strip().splitlines()[0]}")
    return library


def _yuyv(image: ImageArray) -> bytes:
    """4:2:2 of a picture (H, W, 3), W even, after ITU-R BT.601 with a range of 16 to 235, as UVC cameras have it."""
    r, g, b = (image[..., i].astype(np.float32) for i in range(3))
    luma = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    blue, red = 128 - 0.148 * r - 0.291 * g + 0.439 * b, 128 + 0.439 * r - 0.368 * g - 0.071 * b
    packed = np.empty((*image.shape[:2], 2), np.float32)
    packed[..., 0] = luma
    packed[:, 0::2, 1] = (blue[:, 0::2] + blue[:, 1::2]) / 2
    packed[:, 1::2, 1] = (red[:, 0::2] + red[:, 1::2]) / 2
    return np.rint(packed).astype(np.uint8).tobytes()
