"""The OpenGL platforms that MuJoCo renders with, and the packages that bring them: the one place that names them.

It does not import MuJoCo, which cannot be imported where MUJOCO_GL is wrong.
"""

from __future__ import annotations

import ctypes.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from dexloop.errors import DexloopError

# Other values of MUJOCO_GL that MuJoCo takes: for its window library, which needs a screen, and for no rendering.
_WINDOW = ("glfw", "glx", "enable", "enabled", "on", "true", "1")
_OFF = ("disable", "disabled", "off", "false", "0")


@dataclass(frozen=True, slots=True)
class Platform:
    """A value of MUJOCO_GL that needs no screen.

    library: what it is found by, as the linker names it. debian, fedora: the packages that bring it, separated by
    spaces; empty where there are none.
    """

    name: str
    library: str
    debian: str
    fedora: str = ""

    @property
    def found(self) -> bool:
        """Whether its library is on this machine; it may still not render."""
        return ctypes.util.find_library(self.library) is not None


# The smallest sets with which a bare Debian 12 renders. OSMesa is slower, and gone from newer releases.
EGL = Platform("egl", "EGL", "libegl1 libopengl0 libgl1-mesa-dri", "mesa-libEGL mesa-dri-drivers libglvnd-opengl")
OSMESA = Platform("osmesa", "OSMesa", "libosmesa6")
HEADLESS = (EGL, OSMESA)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why there are no pictures, and what to do about it."""

    reason: str
    remedy: str


def diagnose(said: str, environment: Mapping[str, str] = os.environ) -> Diagnosis:
    """Why MuJoCo does not render. said: in its own words. environment: where MUJOCO_GL and DISPLAY are looked up."""
    value = environment.get("MUJOCO_GL", "")
    name = value.lower().strip()
    wanted = [platform for platform in HEADLESS if platform.name == name]
    if not name:
        # What was tried is EGL or OSMesa, or, on a screen, the window library.
        reason, wanted = f"no OpenGL to render cameras with ({said})", list(HEADLESS)
        if environment.get("DISPLAY"):
            wanted = []
    elif name in _OFF:
        reason = f"MUJOCO_GL={value} switches rendering off"
    elif lacks_screen(environment):
        reason = f"MUJOCO_GL={value} needs a screen, and DISPLAY is not set"
    elif wanted or name in _WINDOW or not _on_linux():
        reason = f"MUJOCO_GL={value} does not render here ({said})"
    else:
        reason = f"MUJOCO_GL={value}: there is no such platform"
    others = [platform for platform in HEADLESS if platform.found and platform not in wanted]
    return Diagnosis(reason, _remedy(wanted or ([] if others else list(HEADLESS)), others, named=bool(name)))


def no_pictures(error: Exception) -> DexloopError:
    """The error for pictures that cannot be had; error: what MuJoCo failed with."""
    found = diagnose(f"{type(error).__name__}: {error}")
    return DexloopError(f"{found.reason}; {found.remedy}")


def lacks_screen(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether MUJOCO_GL asks for MuJoCo's window library where no window can be opened."""
    asks = environment.get("MUJOCO_GL", "").lower().strip() in _WINDOW
    return asks and _on_linux() and not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def _remedy(wanted: list[Platform], others: list[Platform], *, named: bool) -> str:
    """wanted: to be installed. others: that are there. named: whether MUJOCO_GL is set."""
    ways: list[str] = []
    if not _on_linux():
        ways.append("run from a desktop session")
    elif wanted:
        first, *more = (platform.debian for platform in wanted)
        ways.append(f"on Debian or Ubuntu: apt-get install {first}" + "".join(f" (or {other})" for other in more))
    ways += [f"set MUJOCO_GL={platform.name}" for platform in others]
    ways.append(f"{'unset it and ' if named else ''}use --observation privileged, which needs none")
    return ", or ".join(ways)


def _on_linux() -> bool:
    return sys.platform.startswith("linux")
