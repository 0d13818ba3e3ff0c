"""What is said where nothing can be rendered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dexloop.sim.opengl import EGL, HEADLESS, OSMESA, diagnose, lacks_screen

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the choice between platforms is Linux's")
FOUND = [f"set MUJOCO_GL={platform.name}" for platform in HEADLESS if platform.found]


@LINUX
def test_a_platform_that_does_not_exist_is_named_with_those_that_work() -> None:
    found = diagnose("whatever", {"MUJOCO_GL": "Vulkan"})
    assert found.reason == "MUJOCO_GL=Vulkan: there is no such platform"
    assert all(way in found.remedy for way in FOUND) and "unset it" in found.remedy
    assert (EGL.debian in found.remedy) is not bool(FOUND), "packages only where nothing is there"


@LINUX
@pytest.mark.parametrize("platform", HEADLESS, ids=lambda platform: platform.name)
def test_a_platform_that_is_not_there_is_named_with_its_packages(platform: object) -> None:
    assert platform in (EGL, OSMESA)
    name, packages = (EGL.name, EGL.debian) if platform is EGL else (OSMESA.name, OSMESA.debian)
    found = diagnose("AttributeError: no library", {"MUJOCO_GL": name.upper()})
    assert found.reason == f"MUJOCO_GL={name.upper()} does not render here (AttributeError: no library)"
    assert found.remedy.startswith(f"on Debian or Ubuntu: apt-get install {packages}, or ")
    assert f"set MUJOCO_GL={name}" not in found.remedy


@LINUX
def test_a_window_needs_a_screen() -> None:
    found = diagnose("whatever", {"MUJOCO_GL": "glfw"})
    assert found.reason == "MUJOCO_GL=glfw needs a screen, and DISPLAY is not set"
    assert lacks_screen({"MUJOCO_GL": " GLFW "}) and not lacks_screen({"MUJOCO_GL": "egl"})
    for screen in ({"DISPLAY": ":0"}, {"WAYLAND_DISPLAY": "wayland-0"}):
        assert not lacks_screen({"MUJOCO_GL": "glfw", **screen})
        assert "does not render here (no visual)" in diagnose("no visual", {"MUJOCO_GL": "glfw", **screen}).reason


@LINUX
def test_without_a_choice_there_is_something_to_install_or_to_choose() -> None:
    assert f"{EGL.debian} (or {OSMESA.debian})" in diagnose("no driver", {}).remedy
    assert all(way in diagnose("no driver", {"DISPLAY": ":0"}).remedy for way in FOUND)
    assert "--observation privileged" in diagnose("no driver", {}).remedy


def test_rendering_that_is_switched_off_is_said_to_be() -> None:
    assert diagnose("no GLContext", {"MUJOCO_GL": "off"}).reason == "MUJOCO_GL=off switches rendering off"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"MUJOCO_GL": "nonsense"}, "MUJOCO_GL=nonsense: there is no such platform"),
        ({"MUJOCO_GL": "glfw"}, "MUJOCO_GL=glfw needs a screen"),
        ({"MUJOCO_GL": "glfw", "DISPLAY": ":77"}, "MUJOCO_GL=glfw does not render here (GLFWError"),
        ({"MUJOCO_GL": "disable"}, "MUJOCO_GL=disable switches rendering off"),
        ({"MUJOCO_GL": "egl", "__EGL_VENDOR_LIBRARY_DIRS": "/nowhere"}, "MUJOCO_GL=egl does not render here ("),
        ({"MUJOCO_GL": "egl", "PYOPENGL_PLATFORM": "glx"}, "MUJOCO_GL=egl does not render here ("),
    ],
)
@LINUX
def test_an_environment_says_why_it_has_no_pictures(variables: dict[str, str], says: str) -> None:
    code = (
        "import os, sys; [os.environ.pop(name, None) for name in ('DISPLAY', 'WAYLAND_DISPLAY', 'PYOPENGL_PLATFORM')];"
        "os.environ.update(eval(sys.argv[1]));"
        "from dexloop.errors import DexloopError\n"
        "try:\n from dexloop.sim.env import DexEnv; DexEnv(image_size=16).reset(seed=0)\n"
        "except DexloopError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, repr(variables)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(says)


@LINUX
def test_packages_are_named_in_one_place() -> None:
    """The script that installs them asks dexloop; what it says of a wrong platform is what dexloop says."""
    script = ROOT / "scripts" / "system-packages.sh"
    assert not [name for platform in HEADLESS for name in platform.debian.split() if name in script.read_text()]
    done = subprocess.run(
        [script, sys.executable], env={"PATH": "/usr/bin:/bin", "MUJOCO_GL": "nonsense"}, capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: MUJOCO_GL=nonsense: there is no such platform; ")
