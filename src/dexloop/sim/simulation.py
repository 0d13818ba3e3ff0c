"""The physics of one robot and one object: a MuJoCo model with everything needed to step and read it."""

from __future__ import annotations

import math

import numpy as np

from dexloop.errors import DexloopError
from dexloop.sim.engine import mujoco
from dexloop.sim.hand import CONTACT_NAMES, EE_IN_HAND, FINGER_NAMES, FLANGE_TO_HAND
from dexloop.sim.kinematics import ArmKinematics, pose
from dexloop.sim.rotations import Array, quaternion, yaw_matrix
from dexloop.sim.scene import ARM_JOINTS, SceneConfig, build_mjcf
from dexloop.sim.state import SceneState

_SETTLE_SECONDS = 0.2
_OTHER, _OBJECT, _PALM = -1, -2, -3


class Simulation:
    """Model and data of a scene, with the arm's kinematics.

    scene: what it is made of; its timestep is the longest allowed, the one used divides the control period.
    object_mjcf: see ``scene.build_mjcf``. control_hz: control rate [Hz].

    Raises DexloopError where MuJoCo is too old for a flexible object.
    """

    def __init__(self, scene: SceneConfig, object_mjcf: str, control_hz: float) -> None:
        period = 1.0 / control_hz
        self.substeps = math.ceil(period / scene.timestep - 1e-9)
        if scene.flexible and not hasattr(mujoco.mjtIntegrator, "mjINT_DISCRETE"):
            raise DexloopError(f"a flexible object needs MuJoCo 3.17 or later, this is {mujoco.__version__}")
        self.model = mujoco.MjModel.from_xml_string(build_mjcf(scene, object_mjcf))
        self.model.opt.timestep = period / self.substeps
        self.data = mujoco.MjData(self.model)
        tool = pose(FLANGE_TO_HAND @ EE_IN_HAND, FLANGE_TO_HAND)
        self.kinematics = ArmKinematics(scene.mounting.transform(), tool)
        self._closed = np.array(scene.calibration.closed)
        model = self.model
        self._arm = np.array([model.joint(name).qposadr[0] for name in ARM_JOINTS])
        self._fingers = np.array([model.joint(name).qposadr[0] for name in FINGER_NAMES])
        self._ee = model.site("ee").id
        self._body = model.body("object").id
        joint = model.body_jntadr[self._body]
        self._object = int(model.jnt_qposadr[joint])
        self._object_velocity = int(model.jnt_dofadr[joint])
        self._rest_position = model.body_pos[self._body].copy()
        self._kind = self._geom_kinds()
        self._rest = 0.0
        self._pending = np.zeros((0, 6))
        self._arm_target = np.zeros(6)
        self._finger_target = np.zeros(6)

    def _geom_kinds(self) -> list[int]:
        """For each shape: the digit it belongs to, or the object, the palm or anything else."""
        model = self.model
        digits = {f"{name}{i}": k for k, name in enumerate(CONTACT_NAMES) for i in (1, 2, 3)}
        kinds: list[int] = []
        for i in range(model.ngeom):
            name = model.geom(i).name
            of_object = model.body_rootid[model.geom_bodyid[i]] == self._body
            kinds.append(_OBJECT if of_object else _PALM if name == "palm" else digits.get(name, _OTHER))
        return kinds

    @property
    def joint_target(self) -> Array:
        """The arm's commanded joint angles (6,) [rad]."""
        return self._arm_target

    def reset(
        self,
        *,
        joints: Array,
        fingers: Array,
        object_position: Array,
        object_yaw: float,
        object_size: float,
        finger_lag: float,
    ) -> None:
        """Start anew at rest and let the object settle on the table.

        joints (6,) [rad]; fingers (6,): closed fraction; object_position (2,) [m]; object_yaw [rad];
        object_size: factor on its rest height; finger_lag: how late finger commands act [s].
        """
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        data.qpos[self._arm] = joints
        data.qpos[self._fingers] = fingers * self._closed
        self._couple()
        start = self._object
        data.qpos[start : start + 2] = object_position
        data.qpos[start + 2] = self._rest_position[2] * object_size
        data.qpos[start + 3 : start + 7] = quaternion(yaw_matrix(object_yaw))
        self._arm_target, self._finger_target = joints.copy(), fingers.copy()
        late = round(finger_lag / model.opt.timestep)
        self._pending = np.tile(fingers * self._closed, (late, 1))
        data.ctrl[:6] = joints
        data.ctrl[6:] = fingers * self._closed
        mujoco.mj_step(model, data, round(_SETTLE_SECONDS / model.opt.timestep))
        self._rest = float(data.xpos[self._body][2])

    def _couple(self) -> None:
        """Put the coupled joints where their leaders have them, so that no spring force starts the episode."""
        model, qpos = self.model, self.data.qpos
        for i in np.flatnonzero(model.eq_type == mujoco.mjtEq.mjEQ_JOINT):
            follower, leader = model.eq_obj1id[i], model.eq_obj2id[i]
            qpos[model.jnt_qposadr[follower]] = model.eq_data[i][1] * qpos[model.jnt_qposadr[leader]]

    def advance(self, joints: Array, fingers: Array) -> None:
        """One control period towards joint angles (6,) [rad] and closed fractions (6,), interpolated evenly."""
        model, data = self.model, self.data
        share = (np.arange(1, self.substeps + 1) / self.substeps)[:, None]
        hand = self._finger_target + share * (fingers - self._finger_target)
        # Finger commands wait their turn: each is acted on as many physics steps late as the lag is long.
        waiting = np.concatenate([self._pending, hand * self._closed])
        self._pending = waiting[self.substeps :]
        arm = self._arm_target + share * (joints - self._arm_target)
        for row in np.concatenate([arm, waiting[: self.substeps]], axis=1):
            data.ctrl[:] = row
            mujoco.mj_step(model, data)
        self._arm_target, self._finger_target = joints.copy(), fingers.copy()
        # A step leaves poses and contacts as they were before it: bring them up to date.
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)

    def push(self, velocity: tuple[float, float]) -> None:
        """Add a horizontal velocity (2,) [m/s] to the object's, as a blow would."""
        self.data.qvel[self._object_velocity : self._object_velocity + 2] += velocity

    def ee_pose(self) -> tuple[Array, Array]:
        """Position (3,) [m] and rotation (3, 3) of the end effector in the world, as measured."""
        return self.data.site_xpos[self._ee].copy(), self.data.site_xmat[self._ee].reshape(3, 3).copy()

    def joints(self) -> Array:
        """The arm's measured joint angles (6,) [rad]."""
        return self.data.qpos[self._arm].copy()

    def fingers(self) -> Array:
        """The measured closed fractions (6,), in [0, 1]."""
        return np.clip(self.data.qpos[self._fingers] / self._closed, 0.0, 1.0)

    def state(self) -> SceneState:
        """The truth about this moment."""
        data = self.data
        position, rotation = self.ee_pose()
        matrix = data.xmat[self._body].reshape(3, 3)
        contacts, supported = self._contacts()
        return SceneState(
            ee_position=position,
            ee_rotation=rotation,
            object_position=data.xpos[self._body].copy(),
            object_up=matrix[:, 2].copy(),
            object_yaw=math.atan2(matrix[1, 0], matrix[0, 0]),
            height=float(data.xpos[self._body][2]) - self._rest,
            velocity=data.qvel[self._object_velocity : self._object_velocity + 3].copy(),
            contacts=contacts,
            supported=supported,
            fingers=self.fingers(),
        )

    def _contacts(self) -> tuple[tuple[bool, ...], bool]:
        """Which digits touch the object, and whether anything but the hand does."""
        touched = [False] * len(CONTACT_NAMES)
        supported = False
        for pair in self.data.contact.geom.tolist():
            # A flex has no shape of its own, and only objects have one.
            first, second = (_OBJECT if shape < 0 else self._kind[shape] for shape in pair)
            if second == _OBJECT:
                first, second = second, first
            if first != _OBJECT or second == _OBJECT:
                continue
            if second >= 0:
                touched[second] = True
            elif second == _OTHER:
                supported = True
        return tuple(touched), supported
