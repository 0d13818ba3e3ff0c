"""A camera of the service freezes, or its plug is pulled: the episode is void, and the robot rests."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from benchmarks.chaos_rig import Rig
from tests.robot.faults.outcome import check_journals, outcome

from dexloop.errors import DexloopError
from dexloop.robot.client import GrpcEnv
from dexloop.robot.simulators.cameras.feed import Fault, Feed
from dexloop.robot.simulators.cameras.v4l2 import V4l2Camera

UP = np.array([0.0, 0.0, 0.5, 0.0, 0.0, 0.0] + [-1.0] * 5 + [0.7], np.float32)
FROZEN = 0.5
"""For how long a camera may show nothing new, as the robot's file has it [s]."""
CHEST = """
[cameras.chest]
kind = "uvc"
device = "{device}"
mode = [48, 64]
fps = 30
"""


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Feed]]:
    """A service that sees one simulated V4L2 camera."""
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    if not sys.platform.startswith("linux") or shutil.which("cc") is None:
        pytest.skip("a simulated V4L2 device needs Linux and a C compiler")
    feed, device = Feed(48, 64, 30.0), Path(tmp_path_factory.mktemp("camera"))
    with (
        V4l2Camera(feed, device) as camera,
        Rig(tmp_path_factory.mktemp("seeing"), cameras=CHEST.format(device=camera.device)) as rig,
    ):
        rig.start_devices()
        rig.start_service(camera.environment)
        yield rig, feed


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["frozen", "unplugged"])
def test_a_camera_that_fails_voids_the_episode_until_it_is_back(feed: tuple[Rig, Feed], fault: Fault) -> None:
    rig, camera = feed
    env = GrpcEnv(rig.address)
    try:
        env.reset(seed=0)
        for _ in range(3):
            assert env.step(UP)[4]["fault"] is None
        moment = time.monotonic()
        camera.fault = fault
        said = None
        while said is None:
            assert time.monotonic() < moment + FROZEN + 2.0
            said = env.step(0.0 * UP if time.monotonic() > moment + 1.0 else UP)[4]["fault"]
        print(f"{fault}: {said!r} after {1e3 * (time.monotonic() - moment):.0f} ms")
        assert "camera chest" in said
        outcome(rig, moment, detection=FROZEN + 0.2)
        with pytest.raises(DexloopError, match="camera chest"):
            env.reset(seed=1)
        camera.fault = None
        until = time.monotonic() + 20.0
        while True:
            try:
                env.rearm()
                env.reset(seed=1)
                break
            except DexloopError:
                assert time.monotonic() < until
                time.sleep(0.3)
        assert env.step(UP)[4]["fault"] is None
    finally:
        camera.fault = None
        env.close()
    check_journals(rig)
