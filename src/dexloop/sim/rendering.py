"""Pictures of the scene through OpenGL: one context, as many cameras and sizes as asked for."""

from __future__ import annotations

import math
import os
import sys
import warnings
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexloop.sim.engine import MjData, MjModel, MjrRect, mujoco
from dexloop.sim.opengl import EGL, lacks_screen, no_pictures
from dexloop.sim.scene import Part

# Pictures are rendered this much larger and averaged: cost is geometry, and thin fingers stay whole.
_OVERSAMPLING = 2
# Width over height of a camera's sensor; the square pictures are cut from its middle.
_SENSOR_ASPECT = 4.0 / 3.0


class Renderer:
    """Renders the cameras of a model.

    Raises DexloopError when there is no OpenGL library to be had, naming the packages that bring one.
    """

    def __init__(self, model: MjModel) -> None:
        self._model = model
        self._gl, self._context = _open_contexts(model)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=300)
        self._options = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._finalizer = weakref.finalize(self, _free, self._gl, self._context)
        # At the interpreter's end EGL may have gone first, and the system frees everything anyway.
        self._finalizer.atexit = False

    def pictures(self, data: MjData, cameras: tuple[str, ...], height: int, width: int) -> dict[str, NDArray[np.uint8]]:
        """What each camera sees: {camera: (height, width, 3) uint8 RGB}."""
        self._gl.make_current()
        rect = mujoco.MjrRect(0, 0, _OVERSAMPLING * width, _OVERSAMPLING * height)
        self._fit(rect.width, rect.height)
        pixels = np.empty((rect.height, rect.width, 3), dtype=np.uint8)
        out: dict[str, NDArray[np.uint8]] = {}
        for name in cameras:
            self._look_through(name, data)
            out[name] = self._draw(rect, pixels)
        return out

    def cutouts(self, data: MjData, parts: Mapping[str, Part], size: int) -> dict[str, NDArray[np.uint8]]:
        """A part of what each camera sees: {camera: (size, size, 3) uint8 RGB}.

        What the camera's sensor, 4:3 with its height as the field of view, does not reach is black.
        """
        self._gl.make_current()
        rect = mujoco.MjrRect(0, 0, _OVERSAMPLING * size, _OVERSAMPLING * size)
        self._fit(rect.width, rect.height)
        pixels = np.empty((rect.height, rect.width, 3), dtype=np.uint8)
        offsets = (np.arange(size) + 0.5) * 2.0 / size - 1.0
        out: dict[str, NDArray[np.uint8]] = {}
        for name, part in parts.items():
            self._look_through(name, data)
            self._narrow(part)
            picture = self._draw(rect, pixels)
            reach = math.tan(math.radians(float(self._model.camera(name).fovy[0])) / 2.0)
            picture[np.abs(part.up - part.half * offsets) > reach] = 0
            picture[:, np.abs(part.right + part.half * offsets) > reach * _SENSOR_ASPECT] = 0
            out[name] = picture
        return out

    def _look_through(self, camera: str, data: MjData) -> None:
        self._camera.fixedcamid = self._model.camera(camera).id
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, data, self._options, None, self._camera, everything, self._scene)

    def _narrow(self, part: Part) -> None:
        """Turn the frustum to a part of what the camera sees."""
        for eye in self._scene.camera:
            near = eye.frustum_near
            eye.frustum_center = near * part.right
            eye.frustum_bottom, eye.frustum_top = near * (part.up - part.half), near * (part.up + part.half)

    def _draw(self, rect: MjrRect, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        mujoco.mjr_render(rect, self._scene, self._context)
        mujoco.mjr_readPixels(pixels, None, rect, self._context)
        return _reduced(pixels)

    def _fit(self, width: int, height: int) -> None:
        """Make the offscreen buffer just as large: clearing a part of one costs Mesa as much as drawing it."""
        if (self._context.offWidth, self._context.offHeight) != (width, height):
            mujoco.mjr_resizeOffscreen(width, height, self._context)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)

    def close(self) -> None:
        """Give the OpenGL context back; the renderer is of no use afterwards."""
        self._finalizer()


def _free(gl: Any, context: Any) -> None:
    gl.make_current()
    context.free()
    gl.free()


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mean over squares of 2 by 2 pixels, top row first (OpenGL's first row is the bottom one)."""
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    rows = np.add(pixels[::-2], pixels[-2::-2], dtype=np.uint16).reshape(height, -1)
    out = np.empty((height, width, 3), dtype=np.uint8)
    # One colour after the other, since numpy is slow along an axis of three.
    for colour in range(3):
        out[..., colour] = (rows[:, colour::6] + rows[:, colour + 3 :: 6] + 2) >> 2
    return out


def _open_contexts(model: MjModel) -> tuple[Any, Any]:
    """An OpenGL context and MuJoCo's own on top. Raises DexloopError where this machine has none to offer."""
    # Mesa's rasteriser starts a thread a core, and pictures this small cost it more than it gains by them.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    with warnings.catch_warnings(record=True) as heard:
        try:
            gl = _open_context(model.vis.global_.offwidth, model.vis.global_.offheight)
            gl.make_current()
            return gl, mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        except Exception as error:
            # GLFW only warns of what is fatal, and MuJoCo then fails for want of what GLFW did not make.
            cause = next((w.message for w in heard if isinstance(w.message, Exception)), error)
            raise no_pictures(cause) from error


def _open_context(width: int, height: int) -> Any:
    """An OpenGL context: the one MUJOCO_GL names, or, headless on Linux, EGL and then OSMesa."""
    if lacks_screen():
        raise RuntimeError("GLFW needs a screen")
    headless = sys.platform.startswith("linux") and not os.environ.get("DISPLAY")
    if os.environ.get("MUJOCO_GL") or not headless:
        return mujoco.GLContext(width, height)
    # The choice is by presence: once one of the two is imported, the other cannot be in this process.
    if EGL.found:
        from mujoco.egl import GLContext
    else:
        from mujoco.osmesa import GLContext
    return GLContext(width, height)
