"""What a controller's client sees at the end of a control period."""

from __future__ import annotations

import time
from collections.abc import Mapping

from dexloop.robot.backend import Sample
from dexloop.robot.control_config import ControlConfig
from dexloop.robot.devices import Frame
from dexloop.robot.faults import CameraWatch, said
from dexloop.robot.motion import Motion
from dexloop.robot.orders import Orders
from dexloop.robot.plant import Plant, PlantState
from dexloop.sim.control import action_spec
from dexloop.sim.proprioception import PROPRIO_NAMES, PROPRIO_SIZE, Proprioception
from dexloop.types import FloatArray, ObservationSpec, RobotSpec


class Observer:
    """Puts samples together, and latches the fault of a camera that stands still; for the control thread alone.

    steps: control periods of the episode in which an action was executed.
    """

    def __init__(self, plant: Plant, motion: Motion, orders: Orders, config: ControlConfig) -> None:
        self._plant, self._motion, self._orders, self._config = plant, motion, orders, config
        self._proprioception = Proprioception(config.limits)
        self._frames: Mapping[str, Frame] = {}
        self.watch = CameraWatch(config.safety.frozen)
        self.steps = 0

    def look(self) -> None:
        """The first pictures; raises where there are none."""
        self._frames = self._plant.frames()

    def sample(self, state: PlantState, executed: FloatArray, *, truncated: bool = False) -> Sample:
        """Of a measured state, after ``executed`` (12,)."""
        now = time.monotonic()
        try:
            self._frames = self._plant.frames()
            frozen = self.watch.fault_of(self._frames, now)
        except Exception as error:
            frozen = said(error)
        if frozen is not None:
            self._orders.latch(frozen)
        motion, pose = self._motion, self._plant.kinematics.forward(state.joints)
        remaining = max(0.0, 1.0 - self.steps / self._config.max_steps)
        proprio = self._proprioception.vector(
            motion.relative(state.joints), state.fingers, motion.target, pose[:3, 3], pose[:3, :3], remaining
        )
        return Sample(
            proprio=proprio,
            images=self._frames,
            executed=executed,
            seconds=now,
            acknowledged=self._orders.acknowledged,
            fault=self._orders.halted,
            truncated=truncated,
            truth=self._plant.truth(),
        )


def spec_of(plant: Plant, config: ControlConfig) -> RobotSpec:
    """What a plant is to the episode loop."""
    return RobotSpec(
        name=plant.name,
        task=config.task,
        action=action_spec(config.action),
        observation=ObservationSpec(
            proprio=PROPRIO_SIZE,
            cameras=dict(plant.cameras),
            privileged=plant.privileged,
            proprio_names=PROPRIO_NAMES,
        ),
        control_hz=config.control_hz,
        max_steps=config.max_steps,
        reset_seconds=config.reset_seconds,
        can_hold=True,
    )
