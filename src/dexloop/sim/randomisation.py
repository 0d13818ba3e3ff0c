"""What may differ from episode to episode besides the start: mass, friction, size, light, cameras, lag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dexloop.errors import DexloopError
from dexloop.sim.engine import MjData, MjModel, mujoco
from dexloop.sim.scene import CAMERAS

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Randomisation:
    """Ranges drawn from anew at every reset; the default changes nothing.

    mass, friction, size: factors on the object's. light: factor on the lamp. camera_position [m] and
    camera_rotation [rad]: half-widths about each camera's place, per axis. push: speed that the object is given once,
    in some horizontal direction within the first seconds [m/s].
    """

    mass: Range = (1.0, 1.0)
    friction: Range = (1.0, 1.0)
    size: Range = (1.0, 1.0)
    light: Range = (1.0, 1.0)
    camera_position: float = 0.0
    camera_rotation: float = 0.0
    push: float = 0.0


_PUSH_SECONDS = (0.5, 2.5)


@dataclass(frozen=True, slots=True)
class Push:
    """A blow to the object: seconds into the episode [s], and the velocity (2,) it adds [m/s, world x and y]."""

    seconds: float
    velocity: tuple[float, float]


def draw_push(rng: np.random.Generator, speed: float) -> Push | None:
    """When and whither the object is pushed; None, and no draw, where the speed is zero."""
    if speed == 0.0:
        return None
    seconds, heading = float(rng.uniform(*_PUSH_SECONDS)), float(rng.uniform(-np.pi, np.pi))
    return Push(seconds, (speed * float(np.cos(heading)), speed * float(np.sin(heading))))


class Randomiser:
    """Applies a Randomisation to a model in place; it keeps the original numbers, so draws do not add up.

    Raises DexloopError where an object with a flex in it is to have another size.
    """

    def __init__(self, model: MjModel, config: Randomisation) -> None:
        if model.nflex and config.size != (1.0, 1.0):
            raise DexloopError("--sim.randomise.size: the rest shape of a flexible object cannot be scaled")
        self._model = model
        self._config = config
        root = model.body("object").id
        self._bodies = np.flatnonzero(np.asarray(model.body_rootid) == root)
        self._geoms = np.flatnonzero(np.isin(model.geom_bodyid, self._bodies))
        self._inner = self._bodies[self._bodies != root]
        self._cameras = np.array([model.camera(name).id for name in CAMERAS])
        self._mass = model.body_mass.copy()
        self._inertia = model.body_inertia.copy()
        self._offset = model.body_ipos.copy()
        self._body = model.body_pos.copy()
        self._shape = model.geom_size.copy()
        self._place = model.geom_pos.copy()
        self._bound = model.geom_rbound.copy()
        self._boxes = model.geom_aabb.copy()
        self._friction = model.geom_friction.copy()
        self._flex_friction = model.flex_friction.copy()
        self._light = model.light_diffuse.copy()
        self._camera_place = model.cam_pos.copy()
        self._camera_turn = model.cam_quat.copy()

    def apply(self, rng: np.random.Generator, data: MjData) -> float:
        """Draw and apply; returns the object's size factor. Always takes the same count of draws."""
        m, c = self._model, self._config
        mass, friction, size, light = (float(rng.uniform(*r)) for r in (c.mass, c.friction, c.size, c.light))
        shift = rng.uniform(-1.0, 1.0, (len(self._cameras), 3)) * c.camera_position
        turn = rng.uniform(-1.0, 1.0, (len(self._cameras), 3)) * c.camera_rotation
        if c == Randomisation():
            return 1.0
        bodies, geoms = self._bodies, self._geoms
        m.body_mass[bodies] = self._mass[bodies] * mass
        m.body_inertia[bodies] = self._inertia[bodies] * mass * size**2
        m.body_ipos[bodies] = self._offset[bodies] * size
        m.body_pos[self._inner] = self._body[self._inner] * size
        m.geom_size[geoms] = self._shape[geoms] * size
        m.geom_pos[geoms] = self._place[geoms] * size
        m.geom_rbound[geoms] = self._bound[geoms] * size
        m.geom_aabb[geoms] = self._boxes[geoms] * size
        m.geom_friction[geoms] = self._friction[geoms] * friction
        m.flex_friction[:] = self._flex_friction * friction
        m.light_diffuse[:] = self._light * light
        m.cam_pos[self._cameras] = self._camera_place[self._cameras] + shift
        for camera, vector in zip(self._cameras, turn, strict=True):
            quat = self._camera_turn[camera].copy()
            mujoco.mju_quatIntegrate(quat, vector, 1.0)
            m.cam_quat[camera] = quat
        # Derived constants (inverse weights of the solver) follow the new masses.
        mujoco.mj_setConst(m, data)
        return size
