"""The hand view of a robot's cameras: cut where the end effector is, as in simulation, and black where it is not."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.robot.test_hardware_plant import AWAY, CONFIG
from tests.robot.test_simulated_hardware import EB90, PATIENT, STILL, TASK, UP, running

from dexloop import DexloopError
from dexloop.robot.camera_sections import CameraSection
from dexloop.robot.checks import check_hand_view
from dexloop.robot.client import GrpcEnv
from dexloop.robot.devices import Frame
from dexloop.robot.drivers.cameras import Intrinsics, LiveCamera, RealSenseConfig, UvcConfig
from dexloop.robot.drivers.cameras.camera import Shot
from dexloop.robot.drivers.inspire.hand import HandConfig, InspireHand
from dexloop.robot.drivers.inspire.serial_line import SerialLine
from dexloop.robot.drivers.realman import RealmanArm
from dexloop.robot.hand_view import HandView, hand_view, hand_views, lens_of
from dexloop.robot.hardware_plant import HardwarePlant
from dexloop.robot.open_robot import hardware_config
from dexloop.robot.plant import Setpoint
from dexloop.robot.robot_file import read_robot
from dexloop.robot.security import ServerSecurity
from dexloop.robot.server import start_server
from dexloop.robot.simulators.inspire.line_faults import LineFaults
from dexloop.robot.simulators.inspire.model import HandModel
from dexloop.robot.simulators.inspire.pty_server import LineTiming
from dexloop.robot.simulators.inspire.serve_eb90 import serve_eb90
from dexloop.robot.simulators.mujoco_cameras import optics
from dexloop.robot.simulators.realman import KinematicPlant, RealmanSimulator
from dexloop.sim.config import SimConfig
from dexloop.sim.engine import mujoco
from dexloop.sim.rendering import Renderer
from dexloop.sim.scene import SceneConfig, View
from dexloop.sim.views import views
from dexloop.types import ImageArray

PLACED = {
    "chest": "position = [-0.02, 0.18, 0.38]\ntarget = [0.36, -0.015, 0.09]\n",
    "head": "position = [-0.05, 0.02, 0.78]\ntarget = [0.36, -0.035, 0.06]\n",
}
CROPPED = "crop = [0, 80, 480, 480]\nsize = [64, 64]\n"
CHEST = f'[cameras.chest]\nkind = "realsense"\nserial = "0"\n{CROPPED}{PLACED["chest"]}'
HEAD = f'[cameras.head]\nkind = "uvc"\ndevice = "x"\n{CROPPED}{PLACED["head"]}fovy = 27.0\n'
# At the origin, looking forwards: right in its picture is -y.
AHEAD = HandView(View((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), 40.0), 0.2, 16, Intrinsics(100.0, 100.0, 159.5, 119.5))

Read = Callable[[str], dict[str, CameraSection]]


@pytest.fixture
def cameras(tmp_path: Path) -> Read:
    def read(text: str) -> dict[str, CameraSection]:
        path = tmp_path / "robot.toml"
        path.write_text(PATIENT + EB90 + text, encoding="utf-8")
        return dict(read_robot(path).cameras)

    return read


def shown(picture: ImageArray, hand: tuple[float, float, float], view: HandView = AHEAD) -> ImageArray:
    small = np.zeros((8, 8, 3), np.uint8)
    return view.of(Frame(small, 7, 1.0, picture), np.array(hand)).image


def test_it_is_the_square_around_the_end_effector_in_the_devices_picture() -> None:
    picture = np.zeros((240, 320, 3), np.uint8)
    # 0.2 m at 1 m are 20 pixels, 10 to the right of the middle and 5 above it.
    picture[105:125, 160:180] = 255
    assert (shown(picture, (1.0, -0.1, 0.05)) == 255).all()
    twice = shown(picture, (1.0, -0.1, 0.05), replace(AHEAD, width=0.4))
    assert (twice[4:12, 4:12] == 255).all() and twice.mean() == pytest.approx(255 / 4)
    # Twice as far it is half as large, and half as far from the middle.
    assert shown(picture, (2.0, -0.2, 0.1)).mean() == 255


def test_it_has_the_age_and_number_of_the_picture_that_it_is_cut_from() -> None:
    frame = Frame(np.full((240, 320, 3), 9, np.uint8), 7, 12.5)
    cut = AHEAD.of(frame, np.array([1.0, 0.0, 0.0]))
    assert (cut.counter, cut.seconds, cut.whole) == (7, 12.5, None)
    assert (cut.image == 9).all(), "a camera that gives no whole picture has it cut from what it gives"


@pytest.mark.parametrize(
    "hand",
    [(-1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.03, 0.0, 0.0), (1.0, 5.0, 0.0), (1.0, 0.0, -5.0), (1e-9, 1e9, 0.0)],
    ids=["behind", "in the camera", "too near", "left of it", "below it", "nowhere"],
)
def test_it_is_black_where_the_end_effector_is_in_no_picture(hand: tuple[float, float, float]) -> None:
    cut = shown(np.full((240, 320, 3), 255, np.uint8), hand)
    assert cut.shape == (16, 16, 3) and cut.dtype == np.uint8 and not cut.any()


def test_it_is_black_beyond_the_edge_of_the_picture() -> None:
    # The left edge of the picture is 1.6 m to the left at 1 m: half of the square is outside.
    cut = shown(np.full((240, 320, 3), 255, np.uint8), (1.0, 1.6, 0.0))
    assert not cut[:, :8].any() and (cut[:, 8:] == 255).all()


def test_the_field_of_view_is_that_of_the_crop(cameras: Read) -> None:
    sections = cameras(CHEST.replace("[0, 80, 480, 480]", "[20, 100, 400, 400]") + "hand_view = 0.2\n")
    lens = lens_of(sections["chest"])
    assert sections["chest"].whole == (480, 640)
    assert lens.fx == lens.fy == pytest.approx(200.0 / math.tan(math.radians(20.5)))
    assert (lens.cx, lens.cy) == (299.5, 219.5)
    view = hand_view(sections["chest"], None)
    square = view.square(np.array(view.view.target))
    assert square is not None
    np.testing.assert_allclose(square.centre, (299.5, 219.5), atol=1e-6)


def test_what_the_device_knows_of_its_lens_goes_before_the_field_of_view(cameras: Read) -> None:
    told = Intrinsics(600.0, 601.0, 310.0, 235.0)
    section = cameras(CHEST + "hand_view = 0.2\n")["chest"]
    assert hand_view(section, told).lens == told and hand_view(section, None).lens == lens_of(section)


@pytest.mark.parametrize("kind", ["uvc", "zed2"])
def test_a_uvc_camera_has_the_intrinsics_of_the_file(cameras: Read, kind: str) -> None:
    text = HEAD.replace("fovy = 27.0", "intrinsics = [700.0, 701.0, 322.0, 238.0]\nhand_view = 0.3").replace(
        "uvc", kind
    )
    section = cameras(text)["head"]
    assert isinstance(section.driver, UvcConfig)
    assert section.driver.intrinsics == Intrinsics(700.0, 701.0, 322.0, 238.0)
    assert section.hand_view == 0.3 and section.sizes == ((64, 64), (64, 64))
    assert section.whole == ((480, 640) if kind == "uvc" else (720, 1280))


def test_without_the_key_there_is_none(cameras: Read) -> None:
    section = cameras(CHEST)["chest"]
    assert isinstance(section.driver, RealSenseConfig)
    assert section.hand_view == 0.0 and section.sizes == ((64, 64),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CHEST + "hand_view = 2.0", r"\[cameras.chest\] hand_view: must be a number from 0.05 to 1 m, got 2.0"),
        (CHEST + "hand_view = true", "hand_view: must be a number"),
        (
            CHEST.replace("[64, 64]", "[48, 64]") + "hand_view = 0.2",
            "hand_view is a square, and 48 x 64 pixels are none",
        ),
        (
            CHEST.replace("crop = [0, 80, 480, 480]\n", ""),
            r"chest\]: size 64 x 64 would squeeze 480 x 640 pixels: .* as crop = \[0, 80, 480, 480\] has",
        ),
        (CHEST.replace("[64, 64]", "[96, 64]"), r"size 96 x 64 would squeeze 480 x 480 pixels: give crop the same.*s$"),
        (
            CHEST.replace("position", "# ") + "hand_view = 0.2",
            r"chest\]: hand_view needs position: where the camera is",
        ),
        (CHEST.replace(PLACED["chest"], "hand_view = 0.2"), "hand_view needs position and target"),
        (HEAD.replace("fovy = 27.0", "hand_view = 0.2"), r"head\]: hand_view needs intrinsics, or fovy"),
        (HEAD + "intrinsics = [0.0, 700.0, 320.0, 240.0]", "intrinsics: must be from 1 to 40960 pixels in place 1"),
        (CHEST + "intrinsics = [700.0, 700.0, 320.0, 240.0]", "intrinsics: there is no such one"),
    ],
)
def test_what_it_lacks_is_said_in_one_line(cameras: Read, text: str, words: str) -> None:
    with pytest.raises(DexloopError, match=words) as caught:
        cameras(text)
    assert "\n" not in str(caught.value)


class Columns:
    """A camera whose device's picture says in each column which one it is; received at ``seconds``."""

    name = "chest"
    whole_intrinsics = Intrinsics(100.0, 100.0, 127.5, 127.5)

    def __init__(self) -> None:
        self.count, self.seconds = 0, 0.0

    def read(self) -> Frame:
        self.count += 1
        row = np.arange(256, dtype=np.uint8)
        whole = np.broadcast_to(row[None, :, None], (256, 256, 3))
        return Frame(np.zeros((16, 16, 3), np.uint8), self.count, self.seconds, whole)

    def close(self) -> None: ...


@contextlib.contextmanager
def plant_with(camera: Columns, view: HandView) -> Iterator[HardwarePlant]:
    with (
        RealmanSimulator(KinematicPlant(AWAY)) as simulator,
        serve_eb90(HandModel(), LineFaults(), LineTiming()) as server,
    ):
        arm = RealmanArm("127.0.0.1", simulator.port, 0, timeout=2.0, stale=5.0)
        hand = InspireHand(SerialLine(server.path), None, HandConfig(timeout=2.0))
        plant = HardwarePlant(arm, hand, [camera], CONFIG, hand_views={"chest": view})
        try:
            yield plant
        finally:
            plant.close()


def test_it_is_around_where_the_arm_was_when_the_picture_came() -> None:
    camera = Columns()
    with plant_with(camera, HandView(SceneConfig().head, 0.1, 16, camera.whole_intrinsics)) as plant:
        assert dict(plant.cameras) == {"chest": (16, 16), "chest_hand": (16, 16)}

        def column(joints: np.ndarray) -> float:
            """Of the end effector, from the directions of the camera's axes."""
            right, _, backwards = SceneConfig().head.axes @ (
                plant.kinematics.forward(joints)[:3, 3] - np.array(SceneConfig().head.position)
            )
            return 127.5 + 100.0 * right / -backwards

        began = plant.state().joints
        first = time.monotonic()
        goal = began + np.array([0.4, 0.0, 0.0, 0.0, 0.0, 0.0])
        for share in np.linspace(0.0, 1.0, 41):
            plant.command(Setpoint(began + share * (goal - began), np.array(CONFIG.fingers)))
            time.sleep(0.02)
        deadline = time.monotonic() + 10.0
        while np.abs(plant.state().joints - goal).max() > 0.01 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert abs(column(goal) - column(began)) > 10.0
        for seconds, joints in ((first, began), (time.monotonic(), plant.state().joints)):
            camera.seconds = seconds
            seen = camera.count
            while camera.count < seen + 2:
                time.sleep(0.01)
            frames = plant.frames()
            assert list(frames) == ["chest", "chest_hand"] and frames["chest"].whole is None
            assert frames["chest_hand"].image.mean() == pytest.approx(column(joints), abs=1.0)


class Still:
    """A source of noise of 480 x 640 pixels, which knows its intrinsics."""

    intrinsics = Intrinsics(642.0, 642.0, 319.5, 239.5)

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)

    def read(self, timeout: float) -> Shot:
        time.sleep(0.01)
        return Shot(self._random.integers(0, 255, (480, 640, 3), np.uint8))

    def close(self) -> None: ...


def test_a_live_camera_gives_its_whole_picture_beside_the_small_one(cameras: Read) -> None:
    section = cameras(CHEST + "hand_view = 0.2\n")["chest"]
    with contextlib.closing(LiveCamera("chest", Still, section.driver.view)) as camera:
        frame = camera.read()
        assert frame.image.shape == (64, 64, 3)
        assert frame.whole is not None and frame.whole.shape == (480, 640, 3)
        assert hand_views({"chest": section}, [camera])["chest"].lens == Still.intrinsics
        assert hand_views({"chest": replace(section, hand_view=0.0)}, [camera]) == {}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("", "", ""),
        ("target = [0.36, -0.015, 0.09]", "target = [-0.36, -0.015, 0.09]", "outside the picture"),
        ("size = [64, 64]", "size = [400, 400]", "400 are shown"),
    ],
)
def test_the_doctor_says_what_is_wrong_with_it(tmp_path: Path, before: str, after: str, words: str) -> None:
    path = tmp_path / "robot.toml"
    path.write_text(PATIENT + EB90 + CHEST.replace(before, after) + "hand_view = 0.2\n", encoding="utf-8")
    file = read_robot(path)
    section = file.cameras["chest"]
    with contextlib.closing(LiveCamera("chest", Still, section.driver.view)) as camera:
        finding = check_hand_view(camera, section, hardware_config(file, TASK))
    assert finding.ok == (words == "") and words in f"{finding.detail}: {finding.remedy}"
    assert finding.name == "camera chest hand view"


def test_a_simulated_camera_is_as_fine_as_its_hand_view_needs(cameras: Read) -> None:
    plain = optics(cameras(CHEST)["chest"])
    assert plain.whole == (64, 64) and plain.view.size == (64, 64)
    fine = optics(cameras(CHEST + "hand_view = 0.2\n")["chest"])
    reach = 2.0 * math.tan(math.radians(20.5)) * math.dist((-0.02, 0.18, 0.38), (0.36, -0.015, 0.09))
    assert 64 < fine.whole[0] * 0.2 / reach < 96
    assert fine.whole[1] / fine.whole[0] == pytest.approx(640 / 480, abs=0.01), "it reaches beyond the crop"
    coarse = optics(cameras(CHEST.replace("[64, 64]", "[480, 480]") + "hand_view = 0.05\n")["chest"])
    assert coarse.whole == (480, 640), "no finer than the device"


@pytest.mark.gl
def test_a_robots_hand_views_are_those_of_the_simulation(tmp_path: Path) -> None:
    path = tmp_path / "robot.toml"
    path.write_text(PATIENT + EB90 + CHEST + "hand_view = 0.5\n" + HEAD + "hand_view = 0.5\n", encoding="utf-8")
    config = SimConfig(hand_view=0.5)
    with running(read_robot(path)) as robot:
        server, port = start_server(robot.backend, "127.0.0.1:0", ServerSecurity())
        env = GrpcEnv(f"127.0.0.1:{port}")
        assert dict(env.robot_spec.observation.cameras) == dict.fromkeys(config.views, (64, 64))
        assert tuple(env.robot_spec.observation.cameras) == config.views == ("chest", "head", "chest_hand", "head_hand")
        env.reset(seed=1)
        for action in [UP] * 4 + [STILL] * 8:
            seen, _, _, _, info = env.step(action)
            assert info["fault"] is None
        hand = robot.plant.kinematics.forward(robot.world.robot.joints())[:3, 3]
        scene = robot.world.robot._simulation
        data = mujoco.MjData(scene.model)
        data.qpos[:] = scene.data.qpos
        env.close()
        server.stop(0).wait()
    mujoco.mj_forward(scene.model, data)
    renderer = Renderer(scene.model)
    expected = views(renderer, data, config, hand)
    renderer.close()
    for name in config.views:
        there, here = expected[name].astype(int), seen[name].astype(int)
        off = np.abs(there - here)[2:-2, 2:-2].mean()
        assert off < 5.0, f"{name}: {off:.2f} of 255"
        for shift in ((0, 2), (2, 0), (0, -2), (-2, 0)):
            moved = np.abs(np.roll(here, shift, (0, 1)) - there)[2:-2, 2:-2].mean()
            assert moved > 2.0 * off, f"{name}, {shift}: {moved:.2f}, {off:.2f}"
    for name in ("chest_hand", "head_hand"):
        places = [place_of_the_cup(picture[name]) for picture in (expected, seen)]
        np.testing.assert_allclose(places[0], places[1], atol=0.7)


def place_of_the_cup(picture: ImageArray) -> np.ndarray:
    """Mean row and column of what is red."""
    r, g, b = (picture[..., i].astype(int) for i in range(3))
    rows, columns = np.nonzero((r > 90) & (r > 2 * g) & (r > 2 * b))
    assert len(rows) > 20
    return np.array([rows.mean(), columns.mean()])
