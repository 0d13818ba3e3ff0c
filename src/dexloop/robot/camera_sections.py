"""The cameras of a robot file: each one's device, what is cut from its picture, and where it is and looks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dexloop.robot.drivers import cameras
from dexloop.robot.drivers.cameras import Intrinsics, RealSenseConfig, UvcConfig
from dexloop.robot.toml_section import Section
from dexloop.sim.scene import CAMERAS, SceneConfig, View

KINDS = ("realsense", "uvc", "zed2")

_PIXELS = 4096
# Pictures may be that much wider or narrower than what they are made of; pixels are whole.
_SQUEEZED = 0.03


@dataclass(frozen=True, slots=True)
class CameraSection:
    """driver: the device and its mode. whole: height and width of the picture that the device sends, of which crop is
    a part [pixels]. size: of its pictures [pixels], after crop and resizing. view: where it is and what these pictures
    span. hand_view: width of the part around the end effector that makes a second picture [m at its distance], 0 for
    none."""

    driver: RealSenseConfig | UvcConfig
    whole: tuple[int, int]
    size: tuple[int, int]
    view: View
    hand_view: float = 0.0

    @property
    def crop(self) -> tuple[int, int, int, int]:
        """top, left, height, width [pixels] of what is left of ``whole``."""
        return self.driver.view.crop or (0, 0, *self.whole)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each picture that it gives [pixels]."""
        return (self.size, self.size) if self.hand_view else (self.size,)


def read_cameras(section: Section) -> dict[str, CameraSection]:
    """The cameras that a file has, by name. Raises DexloopError that names the section and the key at fault."""
    found: dict[str, CameraSection] = {}
    views = SceneConfig().cameras
    for name in CAMERAS:
        if section.has(name):
            found[name] = _camera(name, section.section(name), views[name])
    section.end()
    return found


def _camera(name: str, section: Section, view: View) -> CameraSection:
    kind = section.choice("kind", KINDS)
    part = _picture(section)
    if kind == "realsense":
        driver = _realsense(name, section, part)
    elif kind == "uvc":
        driver = _uvc(name, section, part)
    else:
        driver = cameras.zed2(name, section.text("device"), part, _intrinsics(section))
    far = [5.0] * 3
    near = [-v for v in far]
    x, y, z = section.numbers("position", "m", near, far, view.position)
    a, b, c = section.numbers("target", "m", near, far, view.target)
    if math.hypot(x - a, y - b) < 0.01:
        raise section.refuse("target lies straight above or below the camera")
    fovy = section.number("fovy", "degrees", 5.0, 120.0, view.fovy)
    across = driver.width if isinstance(driver, RealSenseConfig) or driver.part == "whole" else driver.width // 2
    whole = (driver.height, across)
    size = part.size or (part.crop[2:] if part.crop is not None else whole)
    hand_view = _hand_view(section, driver, size) if section.has("hand_view") else 0.0
    section.end()
    found = CameraSection(driver, whole, size, View((x, y, z), (a, b, c), fovy), hand_view)
    _check_shape(section, found)
    return found


def _check_shape(section: Section, camera: CameraSection) -> None:
    """A policy that has learned from pictures as they are does not know squeezed ones."""
    (down, across), (height, width) = camera.size, camera.crop[2:]
    if abs(width * down - height * across) > _SQUEEZED * height * across:
        side = min(camera.whole)
        middle = [(length - side) // 2 for length in camera.whole] + [side, side]
        hint = f", as crop = {middle} has" if down == across else ""
        raise section.refuse(
            f"size {down} x {across} would squeeze {height} x {width} pixels: give crop the same proportions{hint}"
        )


def _hand_view(section: Section, driver: RealSenseConfig | UvcConfig, size: tuple[int, int]) -> float:
    """Its width [m]. Where the end effector is in a picture must not hang on a default that nobody measured."""
    width = section.number("hand_view", "m", 0.05, 1.0)
    if size[0] != size[1]:
        raise section.refuse(f"hand_view is a square, and {size[0]} x {size[1]} pixels are none: give size two equal")
    missing = [key for key in ("position", "target") if not section.has(key)]
    if missing:
        raise section.refuse(f"hand_view needs {' and '.join(missing)}: where the camera is and looks, as measured")
    if isinstance(driver, UvcConfig) and driver.intrinsics is None and not section.has("fovy"):
        raise section.refuse("hand_view needs intrinsics, or fovy, since a UVC camera does not tell them")
    return width


def _picture(section: Section) -> cameras.View:
    crop = size = None
    if section.has("crop"):
        top, left, height, width = section.integers("crop", 4, 0, _PIXELS)
        if min(height, width) < 1:
            raise section.refuse(f"crop (top, left, height, width) leaves no pixels: {[top, left, height, width]}")
        crop = (top, left, height, width)
    if section.has("size"):
        down, across = section.integers("size", 2, 16, _PIXELS)
        size = (down, across)
    return cameras.View(crop, size)


def _intrinsics(section: Section) -> Intrinsics | None:
    """Of the picture before crop."""
    if not section.has("intrinsics"):
        return None
    low, high = [1.0, 1.0, 0.0, 0.0], [10.0 * _PIXELS] * 2 + [float(_PIXELS)] * 2
    return Intrinsics(*section.numbers("intrinsics", "pixels", low, high))


def _realsense(name: str, section: Section, part: cameras.View) -> RealSenseConfig:
    height, width = section.integers("mode", 2, 16, _PIXELS, (480, 640))
    return RealSenseConfig(
        name=name,
        serial=section.text("serial"),
        height=height,
        width=width,
        fps=section.integer("fps", 1, 120, 30),
        exposure=_optional(section, "exposure", "s", 1e-5, 0.2),
        white_balance=_optional(section, "white_balance", "K", 2000.0, 10000.0),
        view=part,
    )


def _uvc(name: str, section: Section, part: cameras.View) -> UvcConfig:
    height, width = section.integers("mode", 2, 16, _PIXELS, (480, 640))
    return UvcConfig(
        name=name,
        device=section.text("device"),
        height=height,
        width=width,
        fps=section.number("fps", "Hz", 1.0, 120.0, 30.0),
        fourcc=section.text("fourcc", "MJPG"),
        exposure=_optional(section, "exposure", "s", 1e-5, 0.2),
        white_balance=_optional(section, "white_balance", "K", 2000.0, 10000.0),
        intrinsics=_intrinsics(section),
        view=part,
    )


def _optional(section: Section, key: str, unit: str, low: float, high: float) -> float | None:
    return section.number(key, unit, low, high) if section.has(key) else None
