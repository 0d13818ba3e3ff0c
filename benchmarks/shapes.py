"""The shapes of the simulated robot, put where setpoints say with no dynamics, and measured by the physics engine.

Nothing here is of ``dexloop.robot``: it is what the controller's own idea of arm and hand is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dexloop.robot.plant import Setpoint
from dexloop.sim.engine import mujoco
from dexloop.sim.hand import FINGER_NAMES
from dexloop.sim.scene import ARM_JOINTS, SceneConfig, build_mjcf
from dexloop.sim.tasks.cup import TASK

Array = np.ndarray

ARM = ("upper arm", "elbow", "forearm", "wrist")
HAND = ("palm", "digits")
_LINKS = {
    **{"base": "rim", "link1": "column", "link2": "upper arm", "link3": "elbow", "link4": "forearm"},
    **{"link5": "wrist", "link6": "wrist", "hand": "palm"},
}
# The lower part of the base's foot, which a capsule stands for: height and radius [m].
_FOOT, _FOOT_RADIUS = 0.05, 0.054
_CAPSULE, _CYLINDER = mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_CYLINDER
_BOX, _SPHERE = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_SPHERE


@dataclass(frozen=True)
class Placed:
    """Where a path of N setpoints puts the robot, in the world.

    qpos (N, Q): the engine's state. bodies (N, B, 4, 4), shapes (N, G, 4, 4) and ee (N, 4, 4): poses. axes (N, 6, 3)
    and anchors (N, 6, 3): of the arm's joints.
    """

    qpos: Array
    bodies: Array
    shapes: Array
    ee: Array
    axes: Array
    anchors: Array


class Shapes:
    """Of a robot whose chest is a capsule (7,), two ends and a radius in the world [m].

    parts: the shapes, by number, of what the robot is made of: "column", "rim" (the base as it is), "base" (less its
    upper rim), "chest", those of ARM, and "palm" and "digits", which together are the "hand".
    """

    def __init__(self, chest: Sequence[float]) -> None:
        scene = SceneConfig()
        foot = np.array(scene.mounting.position)
        standing = _capsule("chest", np.reshape(chest[:6], (2, 3)), chest[6])
        standing += _capsule("base", np.stack([foot, foot + np.array([0.0, 0.0, _FOOT])]), _FOOT_RADIUS)
        document = build_mjcf(scene, TASK.mjcf).replace("<worldbody>", f"<worldbody>{standing}")
        self.model = model = mujoco.MjModel.from_xml_string(document)
        self._data = mujoco.MjData(model)
        self._closed = np.array(scene.calibration.closed)
        self._arm = [model.joint(name).id for name in ARM_JOINTS]
        self.links = [model.body(f"link{i}").id for i in range(1, 7)]
        self.parts: dict[str, list[int]] = {name: [model.geom(name).id] for name in ("base", "chest")}
        robot = model.body("base").id
        for shape, body in enumerate(model.geom_bodyid):
            if model.body_rootid[body] == robot:
                self.parts.setdefault(_LINKS.get(model.body(body).name, "digits"), []).append(shape)
        self.parts["hand"] = self.parts["palm"] + self.parts["digits"]

    def place(self, path: Sequence[Setpoint]) -> Placed:
        """The robot at every setpoint of a path."""
        model, data = self.model, self._data
        qpos = np.tile(model.qpos0, (len(path), 1))
        qpos[:, model.jnt_qposadr[self._arm]] = [at.joints for at in path]
        fingers = [int(model.joint(name).qposadr[0]) for name in FINGER_NAMES]
        qpos[:, fingers] = np.array([at.fingers for at in path]) * self._closed
        for i in range(model.neq):
            follower, leader = model.jnt_qposadr[[model.eq_obj1id[i], model.eq_obj2id[i]]]
            qpos[:, follower] = model.eq_data[i][1] * qpos[:, leader]
        rows = []
        for row in qpos:
            self._put(row)
            bodies, shapes = _poses(data.xpos, data.xmat), _poses(data.geom_xpos, data.geom_xmat)
            ee = _poses(data.site_xpos, data.site_xmat)[model.site("ee").id]
            rows.append((bodies, shapes, ee, data.xaxis[self._arm], data.xanchor[self._arm]))
        return Placed(qpos, *(np.stack(column) for column in zip(*rows, strict=True)))

    def lowest(self, placed: Placed, *parts: str) -> Array:
        """Height (N,) of the lowest point of these parts above the table [m]."""
        heights = []
        for shape in self._of(parts):
            down, size, kind = placed.shapes[:, shape, 2], self.model.geom_size[shape], self.model.geom_type[shape]
            along = np.abs(down[:, 2])
            if kind == _BOX:
                reach = np.abs(down[:, :3]) @ size
            elif kind == _CYLINDER:
                reach = along * size[1] + size[0] * np.sqrt(np.maximum(1.0 - along**2, 0.0))
            else:
                reach = along * self._half(shape) + size[0]
            heights.append(down[:, 3] - reach)
        return np.min(heights, axis=0)

    def apart(self, placed: Placed, a: str, b: str) -> Array:
        """Distance (N,) between two parts [m]."""
        out = []
        for row in placed.qpos:
            self._put(row)
            out.append(min(self._distance(i, j, 2.0) for i in self.parts[a] for j in self.parts[b]))
        return np.array(out)

    def nearest(self, placed: Placed, pairs: Sequence[tuple[str, str]], near: float) -> Array:
        """Distance (N, len(pairs)) between the parts of each pair [m]; no less than the truth where beyond ``near``.

        There, distances between rounded shapes around the shapes are enough; within, the engine tells.
        """
        shapes = [(i, j) for a, b in pairs for i in self.parts[a] for j in self.parts[b]]
        first, second = np.array(shapes).T
        ends, radii = self.capsules(placed)
        gaps = segments_apart(ends[:, first], ends[:, second]) - (radii[first] + radii[second])
        last = -1
        for n, k in zip(*np.nonzero(gaps < near), strict=True):
            if n != last:
                self._put(placed.qpos[n])
            last = n
            gaps[n, k] = self._distance(int(first[k]), int(second[k]), 2.0)
        sizes = [len(self.parts[a]) * len(self.parts[b]) for a, b in pairs]
        return np.minimum.reduceat(gaps, np.cumsum([0, *sizes[:-1]]), axis=1)

    def capsules(self, placed: Placed) -> tuple[Array, Array]:
        """Of a capsule around each shape: ends (N, G, 2, 3) and radii (G,) [m]."""
        count = range(self.model.ngeom)
        halves = np.array([self._half(shape) for shape in count])
        sizes, box = self.model.geom_size, self.model.geom_type == _BOX
        radii = np.where(box, np.hypot(sizes[:, 0], sizes[:, 1]), sizes[:, 0])
        middles, axes = placed.shapes[..., :3, 3], placed.shapes[..., :3, 2] * halves[:, None]
        return np.stack([middles - axes, middles + axes], axis=2), radii

    def carried(self, placed: Placed) -> Array:
        """How far (N - 1,) the fastest point of arm and hand goes to each setpoint [m], as the arm carries it.

        Points: of the links' axes, of the axes of the digits' links, and of the palm. The digits' own motion in the
        hand is not in it: they are carried as they are bent at the end.
        """
        farthest = np.zeros(len(placed.qpos) - 1)
        for name in (*ARM, "hand"):
            for shape in self.parts[name]:
                body = self.links[5] if name == "hand" else int(self.model.geom_bodyid[shape])
                frames, points = placed.bodies[:, body], self.extremes(placed, shape)
                # No point of a rigid body goes farther than the farthest of its extremes.
                before = frames[:-1] @ np.linalg.inv(frames[1:])
                ago = points[1:] @ before[:, :3, :3].transpose(0, 2, 1) + before[:, None, :3, 3]
                farthest = np.maximum(farthest, np.linalg.norm(points[1:] - ago, axis=-1).max(axis=1))
        return farthest

    def extremes(self, placed: Placed, shape: int) -> Array:
        """Points (N, P, 3) of a shape's axis, or a box's corners [world, m]."""
        size, half = self.model.geom_size[shape], self._half(shape)
        local = np.array([(0.0, 0.0, -half), (0.0, 0.0, half)])
        if self.model.geom_type[shape] == _BOX:
            local = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * size
        pose = placed.shapes[:, shape]
        return local @ pose[:, :3, :3].transpose(0, 2, 1) + pose[:, None, :3, 3]

    def _of(self, parts: Sequence[str]) -> list[int]:
        return [shape for part in parts for shape in self.parts[part]]

    def _half(self, shape: int) -> float:
        """Half the length of a shape along its own z, without a capsule's rounded ends [m]."""
        kind, size = self.model.geom_type[shape], self.model.geom_size[shape]
        return {_SPHERE: 0.0, _BOX: float(size[2])}.get(kind, float(size[1]))

    def _put(self, qpos: Array) -> None:
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self._data)

    def _distance(self, a: int, b: int, most: float) -> float:
        return mujoco.mj_geomDistance(self.model, self._data, a, b, most, None)


def segments_apart(first: Array, second: Array) -> Array:
    """The distance (...) between segments of ends (..., 2, 3) [m].

    The least of what the ends have to the other segment, and of what the lines have where their nearest points lie
    between the ends.
    """
    p, d = first[..., 0, :], first[..., 1, :] - first[..., 0, :]
    q, e = second[..., 0, :], second[..., 1, :] - second[..., 0, :]
    best = np.minimum.reduce(
        [
            *(_to_segment(first[..., i, :], q, e) for i in range(2)),
            *(_to_segment(second[..., i, :], p, d) for i in range(2)),
        ]
    )
    across = np.cross(d, e)
    size = np.maximum((across**2).sum(axis=-1), 1e-18)
    along = np.stack([(np.cross(q - p, v) * across).sum(axis=-1) / size for v in (e, d)])
    between = ((along > 0.0) & (along < 1.0)).all(axis=0)
    return np.where(between, np.abs(((q - p) * across).sum(axis=-1)) / np.sqrt(size), best)


def _to_segment(point: Array, start: Array, way: Array) -> Array:
    share = ((point - start) * way).sum(axis=-1) / np.maximum((way**2).sum(axis=-1), 1e-18)
    return np.linalg.norm(point - start - np.clip(share, 0.0, 1.0)[..., None] * way, axis=-1)


def _poses(positions: Array, matrices: Array) -> Array:
    out = np.zeros((len(positions), 4, 4))
    out[:, :3, 3], out[:, :3, :3], out[:, 3, 3] = positions, matrices.reshape(-1, 3, 3), 1.0
    return out


def _capsule(name: str, ends: Array, radius: float) -> str:
    places = " ".join(f"{v:.9g}" for v in ends.ravel())
    return f'<geom name="{name}" type="capsule" fromto="{places}" size="{radius}" contype="0" conaffinity="0"/>'
