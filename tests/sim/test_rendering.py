"""Pictures: what both cameras must show."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dexloop.operators.scripted import ScriptedOperator
from dexloop.sim.config import SimConfig
from dexloop.sim.env import DexEnv
from dexloop.sim.randomisation import Randomisation
from dexloop.sim.rendering import Renderer
from dexloop.sim.scene import CAMERAS, Part, SceneConfig
from dexloop.types import Observation

pytestmark = pytest.mark.gl


def red(picture: np.ndarray) -> float:
    """The share of the picture that has the cup's colour."""
    r, g, b = (picture[..., i].astype(int) for i in range(3))
    return float(((r > 90) & (r > 2 * g) & (r > 2 * b)).mean())


def green(picture: np.ndarray) -> float:
    """The share of the picture that has the thumb's colour."""
    r, g, b = (picture[..., i].astype(int) for i in range(3))
    return float(((g > 70) & (g > 1.4 * r) & (g > 1.4 * b)).mean())


@pytest.mark.filterwarnings("error")
def test_checkers_find_no_fault_with_pictures() -> None:
    made = gymnasium.make("dexloop/CupTaking-v0", privileged=True, render_mode="rgb_array").unwrapped
    check_env(made)
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(made)
    made.close()


def test_cup_and_thumb_are_seen_by_both_cameras_throughout() -> None:
    config = SimConfig(privileged=True, image_size=64, reset="random")
    env, operator = DexEnv(config), ScriptedOperator(config)
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        operator.reset(seed)
        over = False
        while not over:
            for camera in ("chest", "head"):
                picture = observation[camera]
                assert picture.shape == (64, 64, 3)
                assert picture.dtype == np.uint8
                assert red(picture) > 0.01
            assert green(observation["head"]) > 0.003
            seen = Observation(observation["proprio"], {}, observation["privileged"])
            action = operator.poll(seen).action
            assert action is not None
            observation, _, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
        assert terminated
    env.close()


def test_pictures_follow_the_seed_and_camera_randomisation() -> None:
    env = DexEnv(image_size=48)
    first = env.reset(seed=1)[0]
    again = env.reset(seed=1)[0]
    other = env.reset(seed=2)[0]
    np.testing.assert_array_equal(first["chest"], again["chest"])
    assert not np.array_equal(first["chest"], other["chest"])
    env.close()


def test_picture_for_people_is_larger() -> None:
    env = DexEnv(image_size=32, render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (480, 480, 3)
    env.close()
    env.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_pictures_are_means_of_four_pixels_whatever_was_drawn_before() -> None:
    """Against MuJoCo's own renderer at twice the size; the buffer is made anew for each size."""
    env = DexEnv(observation="privileged")
    env.reset(seed=3)
    renderer = Renderer(env.simulation.model)
    for height, width in ((84, 84), (480, 480), (84, 84), (48, 64)):
        seen = renderer.pictures(env.simulation.data, CAMERAS, height, width)
        reference = mujoco.Renderer(env.simulation.model, 2 * height, 2 * width, max_geom=300)
        for camera in CAMERAS:
            reference.update_scene(env.simulation.data, camera)
            four = reference.render().astype(int).reshape(height, 2, width, 2, 3)
            np.testing.assert_array_equal(seen[camera], (four.sum((1, 3)) + 2) // 4)
        reference.close()
    renderer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.parametrize(("own", "threads"), [({}, False), ({"LP_NUM_THREADS": "1"}, True)])
def test_software_rendering_starts_no_threads_unless_told_to(own: dict[str, str], threads: bool) -> None:
    code = (
        "from pathlib import Path; from dexloop.sim.env import DexEnv; from OpenGL import GL;"
        "env = DexEnv(image_size=32); env.reset(seed=0); name = GL.glGetString(GL.GL_RENDERER).decode();"
        "print('llvmpipe' in name, any('llvmpipe' in p.read_text() for p in Path('/proc/self/task').glob('*/comm')))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | own, capture_output=True, text=True)
    in_software, started = done.stdout.split()
    if in_software == "False":
        pytest.skip("a graphics card draws here")
    assert started == str(threads), done.stderr


def test_cutout_is_the_same_part_of_a_larger_picture() -> None:
    env = DexEnv(SimConfig())
    env.reset(seed=0)
    renderer, data = Renderer(env.simulation.model), env.simulation.data
    whole = renderer.pictures(data, ("head",), 128, 128)["head"]
    reach = math.tan(math.radians(SceneConfig().head.fovy) / 2.0)
    # A quarter of the view, moved right by 16 and up by 8 of the large picture's 128 pixels.
    part = Part(right=16 / 64 * reach, up=8 / 64 * reach, half=reach / 2.0)
    cut = renderer.cutouts(data, {"head": part}, 64)["head"]
    difference = np.abs(cut.astype(int) - whole[32 - 8 : 96 - 8, 32 + 16 : 96 + 16].astype(int))
    assert np.mean(difference > 2) < 0.02
    elsewhere = np.abs(cut.astype(int) - whole[32:96, 32:96].astype(int))
    assert np.mean(elsewhere > 2) > 0.1


def test_cutout_is_black_where_the_sensor_ends() -> None:
    env = DexEnv(SimConfig())
    env.reset(seed=0)
    reach = math.tan(math.radians(SceneConfig().head.fovy) / 2.0)
    part = Part(right=reach * 4 / 3, up=0.0, half=reach / 4)
    cut = Renderer(env.simulation.model).cutouts(env.simulation.data, {"head": part}, 32)["head"]
    assert not cut[:, 16:].any()
    assert cut[:, :16].any(-1).all()


@pytest.mark.parametrize("camera", CAMERAS)
def test_hand_view_has_the_held_object_in_its_middle(camera: str) -> None:
    config = SimConfig(privileged=True, hand_view=0.2)
    env, operator = DexEnv(config), ScriptedOperator(config)
    assert env.observation_space["chest_hand"].shape == (64, 64, 3)  # type: ignore[index]
    observation, info = env.reset(seed=0)
    operator.reset(0)
    while not info["is_success"]:
        seen = Observation(observation["proprio"], {}, observation["privileged"])
        observation, _, _, truncated, info = env.step(operator.poll(seen).action)
        assert not truncated
    near = observation[f"{camera}_hand"]
    assert red(near[16:48, 16:48]) > 2 * red(near[:16])
    assert red(near) > 2.5 * red(observation[camera])


def test_view_of_a_moved_camera_is_cut_where_the_camera_was_meant_to_be() -> None:
    def start(moved: float) -> np.ndarray:
        env = DexEnv(SimConfig(hand_view=0.2, randomise=Randomisation(camera_position=moved)))
        return env.reset(seed=3)[0]["head_hand"]

    still, moved = start(0.0), start(0.03)
    assert np.mean(np.abs(still.astype(int) - moved.astype(int)) > 8) > 0.05
