"""The simulated robot as a Gymnasium environment."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from dexloop.errors import DexloopError, RobotFault
from dexloop.sim.config import SimConfig
from dexloop.sim.control import ACTION_SIZE, FINGERS, ActionCodec, action_spec, checked_action
from dexloop.sim.proprioception import PROPRIO_NAMES, PROPRIO_SIZE, Proprioception
from dexloop.sim.randomisation import Push
from dexloop.sim.rendering import Renderer
from dexloop.sim.scene import SceneConfig
from dexloop.sim.servo import ArmServo
from dexloop.sim.simulation import Simulation
from dexloop.sim.start import EpisodeStart
from dexloop.sim.state import PRIVILEGED_SIZE, SceneState, privileged_vector
from dexloop.sim.tasks.base import Task, load_task
from dexloop.sim.views import views
from dexloop.types import FloatArray, ObservationSpec, RobotSpec

SimObservation = dict[str, Any]


class DexEnv(gymnasium.Env[SimObservation, FloatArray]):
    """A Realman RM65-B arm with an Inspire RH56 hand that takes an object from a table.

    Actions: (12,) float32 in [-1, 1], see ``dexloop.sim.control``. Observations: a flat dictionary of
    "proprio" (34,) float32 (PROPRIO_NAMES: measured pose relative to the start pose [m, rad], closed fractions
    of the fingers, the same of the current target, the end effector's position [m] and axes in the world, fraction
    of the time that remains), the pictures "chest", "head" and, unless ``hand_view`` is 0,
    "chest_hand" and "head_hand" (H, W, 3) uint8, and, where asked for, "privileged"
    (27,) float32 (``state.PRIVILEGED_NAMES``).

    info: "executed" (12,) float32, the action after every limit; "is_success" bool; "holding" bool, whether
    the object is held at this moment; "fault" None or a name. Reward 1 at success, else 0.

    config: see SimConfig; ``fields`` replace some of its values. task: in place of the configuration's, its name
    or a Task of your own. render_mode: None or "rgb_array".
    Raises DexloopError for a field or value that does not exist.
    """

    # Gymnasium reads this from the class and from the instance.
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        config: SimConfig | None = None,
        *,
        task: str | Task | None = None,
        render_mode: str | None = None,
        **fields: Any,
    ) -> None:
        config = config or SimConfig()
        if task is not None:
            fields["task"] = task.name if isinstance(task, Task) else task
        try:
            config = replace(config, **fields)
        except TypeError as error:
            names = ", ".join(SimConfig.__dataclass_fields__)
            raise DexloopError(f"DexEnv: no such setting among {sorted(fields)}; there are: {names}") from error
        if render_mode not in (None, "rgb_array"):
            raise DexloopError(f"render_mode must be None or 'rgb_array', got {render_mode!r}")
        self.config = config
        self.render_mode = render_mode
        self.task = task if isinstance(task, Task) else load_task(config.task)
        self.metadata = {**self.metadata, "render_fps": round(config.control_hz)}

        scene = SceneConfig(timestep=self.task.timestep, flexible=self.task.flexible, saturation=config.saturation)
        self.simulation = Simulation(scene, self.task.mjcf, config.control_hz)
        self._start = EpisodeStart(self.simulation, self.task, config)
        self._proprioception = Proprioception(config.limits)
        self._renderer: Renderer | None = None
        self._period = 1.0 / config.control_hz
        self.codec = ActionCodec(config.action, config.limits, self._period)
        seconds = config.max_seconds or self.task.max_seconds
        self._max_steps = max(1, round(seconds * config.control_hz))
        self._hold_steps = max(1, math.ceil(self.task.hold_seconds * config.control_hz - 1e-9))

        self.action_space = spaces.Box(-1.0, 1.0, (ACTION_SIZE,), np.float32)
        self.observation_space = self._observation_space()
        self._past: deque[SimObservation] = deque(maxlen=config.observation_latency + 1)
        self._servo = ArmServo(self.simulation.kinematics, self.codec, self._period, np.eye(4))
        self._target = np.zeros(ACTION_SIZE)
        self._steps = 0
        self._held = 0
        self._push: Push | None = None
        self._running = False
        self._stopped = False

    @property
    def robot_spec(self) -> RobotSpec:
        """What this robot is to the episode loop."""
        c = self.config
        cameras = dict.fromkeys(c.views, (c.image_size, c.image_size)) if self._shows_images else {}
        return RobotSpec(
            name="sim",
            task=self.task.name,
            action=action_spec(c.action),
            observation=ObservationSpec(
                proprio=PROPRIO_SIZE,
                cameras=cameras,
                privileged=PRIVILEGED_SIZE if self._shows_truth else 0,
                proprio_names=PROPRIO_NAMES,
            ),
            control_hz=c.control_hz,
            max_steps=self._max_steps,
            reset_seconds=c.reset_seconds,
            can_hold=True,
        )

    @property
    def _shows_images(self) -> bool:
        return self.config.observation == "images"

    @property
    def _shows_truth(self) -> bool:
        return self.config.privileged or not self._shows_images

    def _observation_space(self) -> spaces.Dict:
        low, high = self._proprioception.low, self._proprioception.high
        parts: dict[str, spaces.Space[Any]] = {"proprio": spaces.Box(low, high, dtype=np.float32)}
        if self._shows_images:
            size = self.config.image_size
            for camera in self.config.views:
                parts[camera] = spaces.Box(0, 255, (size, size, 3), np.uint8)
        if self._shows_truth:
            parts["privileged"] = spaces.Box(-10.0, 10.0, (PRIVILEGED_SIZE,), np.float32)
        return spaces.Dict(parts)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[SimObservation, dict[str, Any]]:
        """A new episode; the same seed gives the same one, bit for bit. Raises DexloopError after ``stop``."""
        self._check_armed()
        super().reset(seed=seed)
        simulation, task = self.simulation, self.task
        self._push = self._start.draw(self.np_random)
        start = simulation.kinematics.forward(simulation.joint_target)
        self._servo = ArmServo(simulation.kinematics, self.codec, self._period, start)
        self._target = np.concatenate([np.zeros(6), task.fingers])
        self._steps = self._held = 0
        self._running = True
        self._past.clear()
        state = simulation.state()
        return self._observe(state), self._info(self.codec.encode(self._target, self._target), state)

    def step(self, action: FloatArray) -> tuple[SimObservation, float, bool, bool, dict[str, Any]]:
        """One control period.

        Raises DexloopError for an action that is not twelve finite numbers, and before reset or after stop.
        """
        self._check_running()
        clean = checked_action(action)
        before = self._target
        wanted = self.codec.decode(clean, before)
        motion = self._servo.move(self.simulation.joint_target, before, wanted)
        self._target = np.concatenate([motion.pose, wanted[FINGERS]])
        if self._push is not None and self._steps * self._period >= self._push.seconds:
            self.simulation.push(self._push.velocity)
            self._push = None
        self.simulation.advance(motion.joints, self._target[FINGERS])
        self._steps += 1
        state = self.simulation.state()
        holding = self.task.holding(state)
        self._held = self._held + 1 if holding else 0
        success = self._held >= self._hold_steps
        terminated = success and self.config.end_on_success
        truncated = self._steps >= self._max_steps and not terminated
        self._running = not (terminated or truncated)
        info = self._info(self.codec.encode(before, self._target), state)
        return self._observe(state), float(success), terminated, truncated, info

    def hold(self) -> SimObservation:
        """Rest for one control period with targets unchanged; the deadline does not come nearer."""
        self._check_running()
        self.simulation.advance(self.simulation.joint_target, self._target[FINGERS])
        state = self.simulation.state()
        if not self.task.holding(state):
            self._held = 0
        return self._observe(state)

    def stop(self) -> None:
        """Hold all targets where they are and make no other motion until ``rearm``."""
        self._stopped = True

    def rearm(self) -> None:
        """Take actions again after ``stop``."""
        self._stopped = False

    def render(self) -> NDArray[np.uint8]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A picture (480, 480, 3) of the whole scene, for people."""
        return self._open_renderer().pictures(self.simulation.data, ("front",), 480, 480)["front"]

    def close(self) -> None:
        """Free the OpenGL context, where there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _check_armed(self) -> None:
        if self._stopped:
            raise RobotFault("the robot is stopped: call rearm() before moving it again")

    def _check_running(self) -> None:
        self._check_armed()
        if not self._running:
            raise DexloopError("the episode is over: call reset() before step()")

    def _observe(self, state: SceneState) -> SimObservation:
        """The observation of this moment, or of an earlier one where observations are late."""
        place = state.ee_position, state.ee_rotation
        remaining = 1.0 - self._steps / self._max_steps
        proprio = self._proprioception.vector(
            self._servo.relative(*place), state.fingers, self._target, *place, remaining
        )
        observation: SimObservation = {"proprio": proprio}
        if self._shows_images:
            observation |= views(self._open_renderer(), self.simulation.data, self.config, state.ee_position)
        if self._shows_truth:
            observation["privileged"] = np.clip(privileged_vector(state, self.task.symmetry), -10.0, 10.0)
        self._past.append(observation)
        return self._past[0]

    def _info(self, executed: FloatArray, state: SceneState) -> dict[str, Any]:
        return {
            "executed": executed,
            "is_success": self._held >= self._hold_steps,
            "holding": self.task.holding(state),
            "fault": None,
        }

    def _open_renderer(self) -> Renderer:
        if self._renderer is None:
            self._renderer = Renderer(self.simulation.model)
        return self._renderer
