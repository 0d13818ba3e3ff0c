"""The cameras' drivers on simulated devices: V4L2 device file, stream over HTTP, the RealSense SDK's software device.

All that a driver does with a real camera is done here; only the kernel and the USB are left out.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexloop import DexloopError
from dexloop.robot.devices import Camera, DeviceError
from dexloop.robot.drivers.cameras import (
    Intrinsics,
    LiveCamera,
    RealSenseConfig,
    Timing,
    UvcConfig,
    View,
    open_realsense,
    open_uvc,
    window,
    zed2,
)
from dexloop.robot.faults import CameraWatch
from dexloop.robot.polling import Poller
from dexloop.robot.simulators.cameras.feed import Feed, number_of, pattern
from dexloop.robot.simulators.cameras.mjpeg import MjpegCamera
from dexloop.robot.simulators.cameras.realsense import SimulatedRealSense
from dexloop.robot.simulators.cameras.v4l2 import V4l2Camera
from dexloop.types import ImageArray

HEIGHT, WIDTH, FPS = 120, 160, 30.0
LENS = Intrinsics(150.0, 152.0, 81.5, 58.25)
BRISK = Timing(opening=20.0, stale=0.5, lost=1.0, retry=0.1)
LENIENT = replace(BRISK, stale=30.0)
BUSY = 15.0
"""Longer than any of this takes on a busy machine [s]."""


@dataclass(frozen=True)
class Seen:
    """What a test needs of a frame; corners (4, 3): its pixels at top left, top right, bottom left, bottom right."""

    counter: int
    number: int
    size: tuple[int, int]
    age: float
    corners: list[list[int]]


def see(camera: LiveCamera) -> Seen:
    frame = camera.latest()
    image = frame.image
    assert image.dtype == np.uint8 and image.shape == (*camera.size, 3)
    corners = [image[y, x].tolist() for y in (0, -1) for x in (0, -1)]
    return Seen(frame.counter, number_of(image), camera.size, time.monotonic() - frame.seconds, corners)


@dataclass
class Rig:
    """A simulated camera under a driver: ``look`` is the driver's ``latest``."""

    feed: Feed
    look: Callable[[], Seen]


# A program of its own, since what answers for the device must be loaded before OpenCV is.
PROGRAM = """
import json, sys, time
from dexloop import DexloopError
from dexloop.robot.drivers.cameras import Timing, UvcConfig, open_uvc
from dexloop.robot.simulators.cameras.feed import number_of

def look():
    frame = camera.latest()
    corners = [frame.image[y, x].tolist() for y in (0, -1) for x in (0, -1)]
    age = time.monotonic() - frame.seconds
    return frame.counter, number_of(frame.image), frame.image.shape[:2], age, corners

def answer(call):
    try:
        print(json.dumps(call()), flush=True)
    except DexloopError as error:
        print(json.dumps(str(error)), flush=True)

def first():
    global camera
    camera = open_uvc(UvcConfig(**{**settings, "timing": Timing(**settings["timing"])}))
    return look()

settings = json.loads(sys.argv[1])
answer(first)
for _ in sys.stdin:
    answer(look)
camera.close()
"""


def answered(line: str) -> Seen:
    told = json.loads(line)
    if isinstance(told, str):
        raise DeviceError(told)
    counter, number, size, age, corners = told
    return Seen(counter, number, tuple(size), age, corners)


@contextlib.contextmanager
def v4l2(feed: Feed, folder: Path, fourcc: str = "MJPG", **chosen: Any) -> Iterator[tuple[Rig, V4l2Camera]]:
    """The UVC driver in its program; raises what it raises there."""
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    if not sys.platform.startswith("linux") or shutil.which("cc") is None:
        pytest.skip("a simulated V4L2 device needs Linux and a C compiler")
    with V4l2Camera(feed, folder, fourcc) as device:
        mode = {"height": feed.height, "width": feed.width, "fps": feed.fps, "fourcc": fourcc}
        timing = {name: getattr(BRISK, name) for name in BRISK.__dataclass_fields__}
        told = {"name": "chest", "device": str(device.device), **mode, "timing": timing, **chosen}
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=device.environment,
            cwd=Path(__file__).parents[3],
            text=True,
        ) as program:
            assert program.stdin and program.stdout
            asking, answers = program.stdin, program.stdout

            def look() -> Seen:
                asking.write("\n")
                asking.flush()
                return answered(answers.readline())

            try:
                answered(answers.readline())
                yield Rig(feed, look), device
            finally:
                # The program closes the camera and ends with what it reads.
                asking.close()
                program.wait(BUSY)


@contextlib.contextmanager
def streamed(feed: Feed, **chosen: Any) -> Iterator[tuple[LiveCamera, MjpegCamera]]:
    """The UVC driver on a stream."""
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    with MjpegCamera(feed) as server:
        wanted = UvcConfig("chest", server.url, feed.height, feed.width, feed.fps, timing=BRISK)
        with contextlib.closing(open_uvc(replace(wanted, **chosen))) as camera:
            yield camera, server


@contextlib.contextmanager
def realsense(feed: Feed, stereo: bool = False, **chosen: Any) -> Iterator[tuple[LiveCamera, SimulatedRealSense]]:
    """The RealSense driver on the SDK's software device."""
    pytest.importorskip("pyrealsense2", reason="no RealSense SDK (it needs libusb-1.0)", exc_type=ImportError)
    with SimulatedRealSense(feed, LENS, stereo=stereo) as device:
        wanted = RealSenseConfig("head", None, feed.height, feed.width, int(feed.fps), timing=BRISK)
        with contextlib.closing(open_realsense(replace(wanted, **chosen), device.find)) as camera:
            yield camera, device


@pytest.fixture(params=["v4l2", "mjpeg", "realsense"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    feed = Feed(HEIGHT, WIDTH, FPS)
    if request.param == "v4l2":
        with v4l2(feed, tmp_path) as (served, _):
            yield served
    else:
        with (streamed if request.param == "mjpeg" else realsense)(feed) as (camera, _):
            yield Rig(feed, lambda: see(camera))


def until(condition: Callable[[], object], seconds: float = BUSY) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())


def error_of(look: Callable[[], object]) -> str | None:
    try:
        look()
    except DeviceError as error:
        return str(error)
    return None


# What every driver does.


def test_pictures_have_their_size_and_colours_in_the_order_red_green_blue(rig: Rig) -> None:
    seen = rig.look()
    assert seen.size == (HEIGHT, WIDTH)
    np.testing.assert_allclose(seen.corners, [[0, 0, 0], [255, 0, 0], [0, 255, 0], [255, 255, 0]], atol=25)


def test_the_newest_picture_is_given_however_seldom_one_is_asked_for(rig: Rig) -> None:
    """A queue of pictures would be 45 behind after so long."""
    first = rig.look()
    time.sleep(1.5)
    seen = rig.look()
    assert rig.feed.number - seen.number < 15
    assert seen.age < 0.5
    assert seen.number - first.number > 15


def test_the_counter_grows_with_every_new_picture_and_with_nothing_else(rig: Rig) -> None:
    seen = [rig.look() for _ in range(100) if time.sleep(0.01) is None]
    numbers = {one.counter: one.number for one in seen}
    assert len(numbers) > 5
    assert all((a.counter < b.counter) == (a.number < b.number) for a, b in itertools.pairwise(seen))
    assert [n for _, n in sorted(numbers.items())] == sorted(numbers.values())


def test_a_frozen_picture_is_not_a_new_one(rig: Rig) -> None:
    rig.feed.fault = "frozen"
    assert until(lambda: error_of(rig.look))
    assert "has sent the same picture for" in (error_of(rig.look) or "")
    rig.feed.fault = None
    assert until(lambda: error_of(rig.look) is None)


def test_a_silent_camera_is_an_error_and_comes_back(rig: Rig) -> None:
    before = rig.look().counter
    rig.feed.fault = "silent"
    assert until(lambda: error_of(rig.look))
    assert "has sent no whole picture for" in (error_of(rig.look) or "")
    # Long enough that the driver opens it anew.
    time.sleep(BRISK.lost + 0.5)
    assert error_of(rig.look) is not None
    rig.feed.fault = None
    assert until(lambda: error_of(rig.look) is None)
    assert rig.look().counter > before


def test_an_unplugged_camera_is_an_error_and_counts_on_when_it_is_plugged_in_again(rig: Rig) -> None:
    before = rig.look().counter
    rig.feed.fault = "unplugged"
    began = time.monotonic()
    assert until(lambda: error_of(rig.look))
    assert time.monotonic() - began < 3.0
    # The reason comes as soon as the driver has tried to open it again.
    assert until(lambda: error_of(rig.look).rpartition(" s: ")[1] != "")
    message = error_of(rig.look) or ""
    assert "camera" in message and "\n" not in message
    rig.feed.fault = None
    assert until(lambda: error_of(rig.look) is None)
    assert rig.look().counter > before


# UVC devices, through V4L2.


def test_a_damaged_jpeg_is_no_picture(tmp_path: Path) -> None:
    with v4l2(Feed(HEIGHT, WIDTH, FPS), tmp_path) as (rig, _):
        rig.feed.fault = "damaged"
        assert until(lambda: error_of(rig.look))
        assert "no whole picture" in (error_of(rig.look) or "")
        rig.feed.fault = None
        assert until(lambda: error_of(rig.look) is None)


@pytest.mark.parametrize("part", ["left", "right"])
def test_half_of_a_side_by_side_picture_is_used(tmp_path: Path, part: str) -> None:
    """As a ZED 2 sends it: two pictures in one, uncompressed."""

    def pair(number: int, height: int, width: int) -> ImageArray:
        left = pattern(number, height, width // 2)
        return np.concatenate([left, 255 - left], axis=1)

    with v4l2(Feed(HEIGHT, 2 * WIDTH, FPS, pair), tmp_path, "YUYV", part=part) as (rig, _):
        seen = rig.look()
        assert seen.size == (HEIGHT, WIDTH)
        left = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [255, 255, 0]])
        np.testing.assert_allclose(seen.corners, left if part == "left" else 255 - left, atol=25)


def test_a_zed_2_is_a_uvc_camera_whose_left_half_is_used() -> None:
    config = zed2("head", "/dev/video0", View(size=(128, 128)))
    assert (config.height, config.width, config.fourcc, config.part) == (720, 2 * 1280, "YUYV", "left")


def test_fixed_exposure_white_balance_and_gain_reach_the_device(tmp_path: Path) -> None:
    chosen = {"exposure": 0.0123, "white_balance": 4500, "gain": 20}
    with v4l2(Feed(HEIGHT, WIDTH, FPS), tmp_path, **chosen) as (_, device):
        expected = {"exposure_auto": 1, "exposure": 123, "white_balance_auto": 0, "white_balance": 4500, "gain": 20}
        assert device.controls == expected


def test_what_the_last_program_fixed_is_automatic_again(tmp_path: Path) -> None:
    with v4l2(Feed(HEIGHT, WIDTH, FPS), tmp_path) as (_, device):
        assert device.controls["exposure_auto"] == 3 and device.controls["white_balance_auto"] == 1


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"height": 720, "width": 1280}, f"offers {HEIGHT} x {WIDTH} pixels of MJPG at 30 Hz, not 720 x 1280 of MJPG"),
        ({"fps": 60}, "at 30 Hz, not .* at 60;"),
        ({"exposure": 2.0}, "does not take 20000 for its exposure"),
        ({"device": "/dev/video-of-nobody"}, "there is no /dev/video-of-nobody; `ls /dev/v4l/by-id`"),
        ({"device": "/dev/null"}, "/dev/null cannot be opened"),
    ],
)
def test_what_a_device_does_not_have_is_an_error_when_it_is_opened(
    tmp_path: Path, chosen: dict[str, Any], message: str
) -> None:
    with (
        pytest.raises(DeviceError, match=f"^camera chest: .*{message}"),
        v4l2(Feed(HEIGHT, WIDTH, FPS), tmp_path, **chosen),
    ):
        pass


# Streams.


def test_a_stream_of_another_size_is_an_error() -> None:
    with (
        pytest.raises(DeviceError, match="sends 120 x 160 pixels, not 480 x 640"),
        streamed(Feed(HEIGHT, WIDTH, FPS), height=480, width=640),
    ):
        pass


def test_a_stream_that_nobody_serves_is_an_error_at_once() -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    with MjpegCamera(Feed(HEIGHT, WIDTH, FPS)) as server:
        url = server.url
    began = time.monotonic()
    with pytest.raises(DeviceError, match=r"camera chest: http.* cannot be opened"):
        open_uvc(UvcConfig("chest", url, timing=BRISK))
    assert time.monotonic() - began < BUSY


def test_a_stream_that_stays_silent_is_an_error_in_bounded_time() -> None:
    feed = Feed(HEIGHT, WIDTH, FPS)
    feed.fault = "silent"
    began = time.monotonic()
    with pytest.raises(DeviceError, match="camera chest: "), streamed(feed, timing=replace(BRISK, opening=1.0)):
        pass
    assert time.monotonic() - began < BUSY


def test_the_simulated_stream_has_few_viewers() -> None:
    with MjpegCamera(Feed(HEIGHT, WIDTH, FPS)) as server, contextlib.ExitStack() as opened:
        for _ in range(4):
            opened.enter_context(urllib.request.urlopen(server.url, timeout=BUSY))
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            urllib.request.urlopen(server.url, timeout=BUSY)
        refused.value.close()


# RealSense.


def test_intrinsics_are_the_devices_and_follow_crop_and_size() -> None:
    with realsense(Feed(HEIGHT, WIDTH, FPS)) as (camera, _):
        told = camera.intrinsics
        assert told is not None
        np.testing.assert_allclose([told.fx, told.fy, told.cx, told.cy], [150.0, 152.0, 81.5, 58.25])
    with realsense(Feed(HEIGHT, WIDTH, FPS), view=View((10, 20, 100, 100), (50, 50))) as (camera, _):
        told = camera.intrinsics
        assert camera.size == (50, 50) and told is not None
        np.testing.assert_allclose([told.fx, told.fy, told.cx, told.cy], [75.0, 76.0, 30.5, 23.875])


@pytest.mark.parametrize(("stereo", "units"), [(False, 1e4), (True, 1e6)])
def test_a_realsense_gets_its_exposure_in_the_units_of_its_sensor(stereo: bool, units: float) -> None:
    with realsense(Feed(HEIGHT, WIDTH, FPS), stereo, exposure=0.01, white_balance=4000) as (_, device):
        import pyrealsense2 as rs

        assert device.sensor.get_option(rs.option.enable_auto_exposure) == 0.0
        assert device.sensor.get_option(rs.option.exposure) == pytest.approx(0.01 * units)
        assert device.sensor.get_option(rs.option.white_balance) == 4000.0
    with realsense(Feed(HEIGHT, WIDTH, FPS), stereo) as (_, device):
        assert device.sensor.get_option(rs.option.enable_auto_exposure) == 1.0


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"height": 720, "width": 1280}, "does not send 720 x 1280 pixels at 30 Hz"),
        ({"serial": "7"}, "no RealSense camera 7"),
        ({"exposure": 3.0}, "it takes 0.0001 to 1 for its exposure, not 3"),
        ({"view": View((0, 0, 480, 480))}, "leaves a picture of 120 x 160 pixels"),
    ],
)
def test_what_a_realsense_does_not_have_is_an_error_when_it_is_opened(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(DeviceError, match=f"^camera head: .*{message}"), realsense(Feed(HEIGHT, WIDTH, FPS), **chosen):
        pass


def test_a_realsense_that_is_not_plugged_in_is_named() -> None:
    """Asked of the SDK's own list of devices."""
    pytest.importorskip("pyrealsense2", reason="no RealSense SDK (it needs libusb-1.0)", exc_type=ImportError)
    with pytest.raises(DeviceError, match="camera head: no RealSense camera 000000000000; plugged in: "):
        open_realsense(RealSenseConfig("head", "000000000000", timing=BRISK))


# What the controller makes of them.


def test_the_controllers_watch_notices_a_frozen_camera_by_its_counter() -> None:
    with streamed(Feed(HEIGHT, WIDTH, FPS), timing=LENIENT) as (camera, server):
        watch = CameraWatch(0.5)

        def fault() -> str | None:
            return watch.fault_of({"chest": camera.latest()}, time.monotonic())

        assert fault() is None
        server.feed.fault = "frozen"
        assert until(fault)
        assert "camera chest shows nothing new" in (fault() or "")


def test_a_poller_keeps_the_error_until_a_person_has_looked() -> None:
    """As ``HardwarePlant`` reads cameras: coming back alone is not enough."""
    with streamed(Feed(HEIGHT, WIDTH, FPS)) as (live, server):
        camera: Camera = live
        poller = Poller(f"camera {camera.name}", 1.0 / 60.0, camera.read, 5.0)
        try:
            server.feed.fault = "unplugged"
            assert until(lambda: error_of(poller.newest))
            server.feed.fault = None
            assert until(lambda: error_of(live.latest) is None)
            assert error_of(poller.newest) is not None
            assert poller.forget(5.0).counter >= 1
        finally:
            poller.close()


def test_asking_never_waits_whatever_the_camera_does() -> None:
    feed = Feed(HEIGHT, WIDTH, FPS)
    with streamed(feed) as (camera, _):
        for fault in (None, "silent", "unplugged"):
            feed.fault = fault
            time.sleep(0.6)
            times: list[float] = []
            for _ in range(200):
                began = time.perf_counter()
                error_of(camera.latest)
                times.append(time.perf_counter() - began)
            assert np.median(times) < 1e-3


def test_closing_ends_the_thread_and_what_is_asked_then_is_an_error() -> None:
    with streamed(Feed(HEIGHT, WIDTH, FPS)) as (camera, _):
        assert any(thread.name == "dexloop-camera-chest" for thread in threading.enumerate())
        camera.close()
        camera.close()
        assert not any(thread.name == "dexloop-camera-chest" for thread in threading.enumerate())
        with pytest.raises(DeviceError, match="camera chest is closed"):
            camera.latest()


# Without the libraries.


def test_nothing_is_imported_before_a_camera_is_opened() -> None:
    code = "import sys, dexloop.robot.drivers.cameras as c; print('cv2' in sys.modules, 'pyrealsense2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    with pytest.raises(DexloopError, match=r"need OpenCV: pip install 'dexloop\[cameras\]'"):
        open_uvc(UvcConfig("chest", "/dev/video0"))
    with pytest.raises(DexloopError, match=r"need pyrealsense2: pip install 'dexloop\[cameras\]'"):
        open_realsense(RealSenseConfig("head"))


@pytest.mark.parametrize(
    "build",
    [
        lambda: UvcConfig("chest", "/dev/video0", fourcc="JPEG2"),
        lambda: UvcConfig("chest", "/dev/video0", fps=0.0),
        lambda: UvcConfig("chest", "/dev/video0", width=641, part="left"),
        lambda: UvcConfig("chest", "http://camera/stream", exposure=0.01),
        lambda: UvcConfig("chest", "/dev/video0", exposure=0.0),
        lambda: RealSenseConfig("head", fps=0),
        lambda: RealSenseConfig("head", exposure=-1.0),
        lambda: Timing(stale=float("nan")),
        lambda: View((-1, 0, 10, 10)),
        lambda: View(size=(0, 10)),
        lambda: Intrinsics(0.0, 1.0, 0.0, 0.0),
        lambda: LENS.project(0.0, 0.0, 0.0),
        lambda: Feed(HEIGHT, WIDTH, 0.0),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(build: Callable[[], object]) -> None:
    with pytest.raises(DexloopError) as refused:
        build()
    assert "\n" not in str(refused.value)


# Pictures.

IMAGES = st.builds(
    lambda seed, height, width: np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8),
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.integers(1, 9),
)
PLACES = st.tuples(st.floats(-10.0, 20.0), st.floats(-10.0, 20.0))


def overlap(a: float, b: float, pixel: int) -> float:
    return max(0.0, min(b, pixel + 0.5) - max(a, pixel - 0.5))


@settings(max_examples=40, deadline=None)
@given(image=IMAGES, centre=PLACES, side=st.floats(0.5, 30.0), size=st.integers(1, 4))
def test_every_pixel_of_a_window_is_the_mean_of_its_area(
    image: ImageArray, centre: tuple[float, float], side: float, size: int
) -> None:
    """Summed pixel by pixel, as the definition has it; black outside."""
    cut = window(image, centre, side, size)
    assert cut.shape == (size, size, 3) and cut.dtype == np.uint8
    step = side / size
    left, top = centre[0] - side / 2, centre[1] - side / 2
    for y in range(size):
        for x in range(size):
            total = sum(
                overlap(top + y * step, top + (y + 1) * step, v)
                * overlap(left + x * step, left + (x + 1) * step, u)
                * image[v, u].astype(float)
                for v in range(image.shape[0])
                for u in range(image.shape[1])
            )
            np.testing.assert_allclose(cut[y, x], total / step**2, atol=0.51)


@settings(max_examples=40, deadline=None)
@given(image=IMAGES, x=st.integers(-15, 25), y=st.integers(-15, 25), size=st.integers(1, 9))
def test_a_window_at_full_size_is_the_picture_itself_in_black(image: ImageArray, x: int, y: int, size: int) -> None:
    half = (size - 1) / 2
    framed = np.zeros((80, 80, 3), np.uint8)
    framed[30 : 30 + image.shape[0], 30 : 30 + image.shape[1]] = image
    cut = window(image, (x + half, y + half), size, size)
    np.testing.assert_array_equal(cut, framed[30 + y : 30 + y + size, 30 + x : 30 + x + size])


@settings(max_examples=40, deadline=None)
@given(value=st.integers(0, 255), side=st.floats(0.5, 40.0), size=st.integers(1, 40), height=st.integers(1, 50))
def test_a_plain_picture_stays_plain(value: int, side: float, size: int, height: int) -> None:
    image = np.full((60, 70, 3), value, np.uint8)
    assert (window(image, (35.0, 30.0), side, size) == value).all()
    assert (View((3, 5, height, 60), (size, size)).of(image) == value).all()


@settings(max_examples=40, deadline=None)
@given(
    point=st.tuples(st.floats(-0.2, 0.2), st.floats(-0.15, 0.15), st.floats(0.5, 1.0)),
    shift=st.tuples(st.floats(-8.0, 8.0), st.floats(-8.0, 8.0)),
    side=st.floats(24.0, 80.0),
    size=st.integers(16, 64),
)
def test_a_point_is_where_the_windows_intrinsics_say(
    point: tuple[float, float, float], shift: tuple[float, float], side: float, size: int
) -> None:
    """A point that is painted at its pixel has its centre of brightness there in the window."""
    u, v = (round(pixel) for pixel in LENS.project(*point))
    seen = (point[2] * (u - LENS.cx) / LENS.fx, point[2] * (v - LENS.cy) / LENS.fy, point[2])
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[v, u] = 255
    centre = (u + shift[0], v + shift[1])
    cut = window(image, centre, side, size)[..., 0].astype(float)
    assert cut.sum() > 0
    found = [(cut.sum(axis) * np.arange(size)).sum() / cut.sum() for axis in (0, 1)]
    np.testing.assert_allclose(found, LENS.windowed(centre, side, size).project(*seen), atol=0.55)


@settings(max_examples=40, deadline=None)
@given(
    top=st.integers(0, 40),
    left=st.integers(0, 60),
    half=st.tuples(st.integers(5, 40), st.integers(5, 50)),
    size=st.tuples(st.integers(4, 90), st.integers(4, 90)),
)
def test_a_point_is_where_the_views_intrinsics_say(
    top: int, left: int, half: tuple[int, int], size: tuple[int, int]
) -> None:
    height, width = 2 * half[0], 2 * half[1]
    view = View((top, left, height, width), size)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    v, u = top + half[0], left + half[1]
    image[v, u] = 255
    seen = ((u - LENS.cx) / LENS.fx, (v - LENS.cy) / LENS.fy, 1.0)
    shown = view.of(image)[..., 0].astype(float)
    if shown.sum() == 0:
        # One pixel's share of so many rounds to nothing.
        assert size[0] * size[1] * 510 <= height * width
        return
    found = [(shown.sum(axis) * np.arange(size[1 - axis])).sum() / shown.sum() for axis in (0, 1)]
    expected = view.intrinsics(LENS, image.shape).project(*seen)
    np.testing.assert_allclose(found, expected, atol=0.55)


def test_a_view_without_a_size_is_cut_and_one_that_covers_all_is_the_picture() -> None:
    image = pattern(5, HEIGHT, WIDTH)
    np.testing.assert_array_equal(View((10, 20, 30, 40)).of(image), image[10:40, 20:60])
    np.testing.assert_array_equal(View(size=(HEIGHT, WIDTH)).of(image), image)
    assert number_of(View(size=(30, 40)).of(image)) == 5


@pytest.mark.parametrize(
    ("centre", "side", "size"),
    [((float("nan"), 0.0), 10.0, 8), ((0.0, 0.0), 0.0, 8), ((5.0, 5.0), 1e-13, 8), ((0.0, 0.0), 10.0, 0)],
)
def test_a_window_without_pixels_is_refused(centre: tuple[float, float], side: float, size: int) -> None:
    with pytest.raises(DexloopError, match="no window of"):
        window(pattern(1, 20, 20), centre, side, size)


def test_a_window_far_from_the_picture_is_black() -> None:
    assert not window(pattern(9, 20, 20), (1e9, -1e9), 50.0, 8).any()


@given(st.integers(0, 2**16 - 1))
def test_the_pattern_tells_its_number(number: int) -> None:
    assert number_of(pattern(number, 24, 48)) == number
