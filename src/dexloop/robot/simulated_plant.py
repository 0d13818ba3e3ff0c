"""The simulation as a plant: it steps its physics when the controller says that a tick has passed."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.backend import Truth
from dexloop.robot.control_config import ControlConfig
from dexloop.robot.devices import Array, Frame
from dexloop.robot.plant import PlantState, Setpoint, tick_for
from dexloop.robot.safety import SafetyLimits
from dexloop.sim.config import SimConfig
from dexloop.sim.kinematics import ArmKinematics
from dexloop.sim.rendering import Renderer
from dexloop.sim.scene import SceneConfig
from dexloop.sim.simulation import Simulation
from dexloop.sim.start import EpisodeStart
from dexloop.sim.state import PRIVILEGED_SIZE, privileged_vector
from dexloop.sim.tasks.base import load_task
from dexloop.sim.views import views

_SHORTEST_TICK = 0.01
_UNMEASURED = np.full(6, np.nan)


class SimulatedPlant:
    """The scene of ``DexEnv`` with the same starts: the same seed draws the same.

    Pictures are taken in the thread that asks first, which must stay the only one. Raises DexloopError for late
    observations, which real time has of its own.
    """

    name = "sim"

    def __init__(self, config: SimConfig) -> None:
        if config.observation_latency:
            raise DexloopError("--sim.observation-latency is for a simulation that waits, not for one in real time")
        self._config = config
        self._task = task = load_task(config.task)
        self.tick = tick_for(config.control_hz, _SHORTEST_TICK)
        scene = SceneConfig(timestep=task.timestep, saturation=config.saturation)
        self._simulation = Simulation(scene, task.mjcf, 1.0 / self.tick)
        self._start = EpisodeStart(self._simulation, task, config)
        self._renderer: Renderer | None = None
        self._pictures = 0
        self._hold_periods = max(1, math.ceil(task.hold_seconds * config.control_hz - 1e-9))
        self.reset(0)

    @property
    def kinematics(self) -> ArmKinematics:
        """The simulated arm's."""
        return self._simulation.kinematics

    @property
    def cameras(self) -> Mapping[str, tuple[int, int]]:
        """As the configuration has them."""
        size = self._config.image_size
        return dict.fromkeys(self._config.views, (size, size)) if self._config.observation == "images" else {}

    @property
    def privileged(self) -> int:
        """As the configuration has it."""
        return PRIVILEGED_SIZE if self._config.privileged or not self.cameras else 0

    def state(self) -> PlantState:
        """Angles as they are; the simulated hand measures neither force nor temperature."""
        return PlantState(self._simulation.joints(), self._simulation.fingers(), _UNMEASURED, _UNMEASURED)

    def command(self, setpoint: Setpoint) -> None:
        """Where the next tick leads."""
        self._setpoint = setpoint

    def advance(self) -> None:
        """One tick of physics."""
        self._seconds += self.tick
        if self._push is not None and self._seconds >= self._push.seconds:
            self._simulation.push(self._push.velocity)
            self._push = None
        self._simulation.advance(self._setpoint.joints, self._setpoint.fingers)

    def frames(self) -> Mapping[str, Frame]:
        """Renders; counters grow with every call."""
        if not self.cameras:
            return {}
        if self._renderer is None:
            self._renderer = Renderer(self._simulation.model)
        self._pictures += 1
        now, hand = time.monotonic(), self._simulation.ee_pose()[0]
        pictures = views(self._renderer, self._simulation.data, self._config, hand)
        return {camera: Frame(picture, self._pictures, now) for camera, picture in pictures.items()}

    def truth(self) -> Truth:
        """Success is an object held at the ends of as many control periods as ``DexEnv`` asks for."""
        state = self._simulation.state()
        holding = self._task.holding(state)
        self._held = self._held + 1 if holding else 0
        privileged = np.clip(privileged_vector(state, self._task.symmetry), -10.0, 10.0)
        return Truth(privileged, self._held >= self._hold_periods, holding)

    def way_home(self, joints: Array, fingers: Array, *, straight: bool = False) -> Sequence[Setpoint]:
        """None is needed."""
        return ()

    def reset(self, seed: int) -> Setpoint:
        """Put robot and object where ``seed`` says."""
        self._push = self._start.draw(np.random.default_rng(seed))
        self._held, self._seconds = 0, 0.0
        self._setpoint = Setpoint(self._simulation.joint_target.copy(), np.array(self._task.fingers))
        return self._setpoint

    def halt(self) -> None:
        """Never needed: it takes every setpoint."""

    def rearm(self) -> None:
        """It has no faults of its own."""

    def close(self) -> None:
        """Free the OpenGL context, where there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def control_of(config: SimConfig, safety: SafetyLimits | None = None) -> ControlConfig:
    """How a controller drives the simulation that ``config`` describes."""
    seconds = config.max_seconds or load_task(config.task).max_seconds
    return ControlConfig(
        task=config.task,
        control_hz=config.control_hz,
        max_steps=max(1, round(seconds * config.control_hz)),
        reset_seconds=config.reset_seconds,
        action=config.action,
        limits=config.limits,
        safety=safety or SafetyLimits(),
    )
