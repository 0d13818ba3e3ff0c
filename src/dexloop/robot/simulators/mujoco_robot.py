"""One MuJoCo robot for which time passes: what moves, feels and sees behind the simulated arm, hand and cameras."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dexloop.robot.devices import Array
from dexloop.robot.simulators.realman.plant import KinematicPlant
from dexloop.sim.config import SimConfig
from dexloop.sim.engine import MjModel, mujoco
from dexloop.sim.hand import FINGER_NAMES
from dexloop.sim.randomisation import Push, Randomiser, draw_push
from dexloop.sim.rendering import Renderer
from dexloop.sim.scene import Mounting, SceneConfig, View
from dexloop.sim.simulation import Simulation
from dexloop.sim.state import SceneState
from dexloop.sim.tasks.base import load_task

TICK = 0.01
"""The time between two looks at the targets [s]; physics takes shorter steps in between."""
_LATEST = 0.1
"""Physics that is late by more than this lets its time pass more slowly instead of catching up [s]."""
_LEVERS = np.array([0.050, 0.055, 0.060, 0.055, 0.065, 0.075])
"""From each finger's first joint to about where it presses [m]."""


class MujocoRobot:
    """Arm, hand, table and object in a thread of their own that ends with ``close``; called from any thread.

    The arm's joints follow the lag and the speeds of ``KinematicPlant``, the fingers their setpoints at once: speed and
    latency of the hand are those of its simulated electronics. config: task, object's start, saturation and
    randomisation are read. joints (6,) [rad], fingers (6,): where the robot starts.
    """

    def __init__(
        self, config: SimConfig, mounting: Mounting, views: Mapping[str, View], joints: Array, fingers: Array
    ) -> None:
        self._config = config
        self.task = load_task(config.task)
        scene = SceneConfig(timestep=self.task.timestep, saturation=config.saturation, mounting=mounting)
        self._simulation = Simulation(replace(scene, **views), self.task.mjcf, 1.0 / TICK)
        model = self._simulation.model
        self._randomiser = Randomiser(model, config.randomise)
        self._seconds = 0.0
        self._reference = KinematicPlant(joints, clock=self.clock)
        self._finger_target = fingers.copy()
        self._shares = _finger_shares(model)
        self._push: Push | None = None
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._put(0, joints, fingers)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated robot", daemon=True)
        self._thread.start()

    def clock(self) -> float:
        """The time that has passed here [s], for what is to keep pace with it on a machine that is too slow."""
        return self._seconds

    def before_each_tick(self, call: Callable[[], None]) -> None:
        """Call this in the thread of the physics, also while that catches up."""
        self._listeners.append(call)

    def joints(self) -> Array:
        """The arm's joint angles (6,) [rad]."""
        return self._joints.copy()

    def fingers(self) -> Array:
        """The closed fractions (6,)."""
        return self._fingers.copy()

    def force(self) -> Array:
        """With what each finger (6,) is pressed open at its middle [N]."""
        return self._force.copy()

    def command_joints(self, joints: Array) -> None:
        """Follow this target (6,) [rad]."""
        with self._lock:
            self._reference.command(joints)

    def command_fingers(self, fingers: Array) -> None:
        """Follow these closed fractions (6,)."""
        with self._lock:
            self._finger_target = np.clip(fingers, 0.0, 1.0)

    def put_object(self, seed: int) -> None:
        """Put the object where the task starts, as a person would; the robot stays where it is.

        The same seed draws the same place, and the same size, weight and blow where these are randomised.
        """
        with self._lock:
            self._put(seed, self._simulation.joint_target, self._finger_target)

    def state(self) -> SceneState:
        """The truth about this moment."""
        with self._lock:
            return self._simulation.state()

    def eye(self) -> Callable[[str, int, int], NDArray[np.uint8]]:
        """A function of camera, height and width that takes pictures, for one thread: the one that calls this.

        Raises DexloopError without OpenGL.
        """
        renderer = Renderer(self._simulation.model)
        model, data = self._simulation.model, mujoco.MjData(self._simulation.model)

        def picture(camera: str, height: int, width: int) -> NDArray[np.uint8]:
            with self._lock:
                data.qpos[:] = self._simulation.data.qpos
            # Poses suffice for a picture, and physics need not wait for it.
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_camlight(model, data)
            return renderer.pictures(data, (camera,), height, width)[camera]

        return picture

    def close(self) -> None:
        """End the thread; again does nothing."""
        self._closing.set()
        self._thread.join()

    def _put(self, seed: int, joints: Array, fingers: Array) -> None:
        task, config, rng = self.task, self._config, np.random.default_rng(seed)
        region = task.fixed if config.reset == "fixed" else task.random
        size = self._randomiser.apply(rng, self._simulation.data)
        self._simulation.reset(
            joints=joints,
            fingers=fingers,
            object_position=np.array(task.object_position) + rng.uniform(-1.0, 1.0, 2) * region.object_position,
            object_yaw=float(rng.uniform(-1.0, 1.0)) * region.object_yaw,
            object_size=size,
            finger_lag=0.0,
        )
        self._push, self._put_at = draw_push(rng, config.randomise.push), self._seconds
        self._measure()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._closing.wait(max(0.0, due - time.monotonic())):
            self._seconds += TICK
            for call in self._listeners:
                call()
            with self._lock:
                self._advance()
            due += TICK
            if time.monotonic() - due > _LATEST:
                due = time.monotonic()

    def _advance(self) -> None:
        if self._push is not None and self._seconds - self._put_at >= self._push.seconds:
            self._simulation.push(self._push.velocity)
            self._push = None
        self._simulation.advance(self._reference.joints(), self._finger_target)
        self._measure()

    def _measure(self) -> None:
        simulation = self._simulation
        self._joints, self._fingers = simulation.joints(), simulation.fingers()
        self._force = -(self._shares @ simulation.data.qfrc_constraint) / _LEVERS


def _finger_shares(model: MjModel) -> NDArray[np.float64]:
    """How constraint torques (nv,) add up to what presses each finger's own joint, (6, nv).

    By virtual work a follower's torque counts with its ratio, and what couples the two cancels.
    """
    shares = np.zeros((len(FINGER_NAMES), model.nv))
    joints = [model.joint(name).id for name in FINGER_NAMES]
    for finger, joint in enumerate(joints):
        shares[finger, model.jnt_dofadr[joint]] = 1.0
    for i in range(model.neq):
        finger = joints.index(model.eq_obj2id[i])
        shares[finger, model.jnt_dofadr[model.eq_obj1id[i]]] = model.eq_data[i][1]
    return shares
