"""Any Gymnasium environment as a ``dexloop.core.Robot``.

An environment may offer more than Gymnasium asks, and gets defaults for what it lacks:

- ``robot_spec``: its RobotSpec (action groups, names, rates). Policies do not see proprioception whose name there
  begins with "target_" (what was commanded) or is "remaining_time" (``CloningConfig.policy_ignores``);
- ``hold()``: rest for one control period and return an observation, or raise dexloop.errors.RobotFault; ``stop()``,
  ``rearm()``; ``announce(policy_version)``: which version of the policy acts from now on;
- ``info["executed"]``: the action after every limit, in units of its action space;
- ``info["is_success"]`` or ``info["success"]``: its own verdict; ``info["fault"]``: a fault's name.

What is always there is the proprioception "remaining_time", the fraction of the deadline that is left, in [0, 1]: it
is appended unless ``robot_spec`` names it. With it, running out of time may end the return (Pardo et al., "Time Limits
in Reinforcement Learning", arXiv 1712.00378), and an environment that shows nothing but pictures has a state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import gymnasium
import numpy as np

from dexloop.errors import DexloopError, RobotFault
from dexloop.robot.spaces import ActionScale, ObservationLayout
from dexloop.types import ActionGroup, ActionSpec, FloatArray, Observation, RobotSpec, Step

_PREFIX = "gym:"
_REMAINING_TIME = "remaining_time"
_NOT_FINITE = "observation is not finite"


class GymRobot:
    """A Robot over ``env``; actions in [-1, 1] are mapped to its Box, observations cast to float32.

    control_hz: control rate [Hz]; without it the environment's ``metadata["render_fps"]``.
    max_steps: deadline [control steps], which this class keeps itself; without it the
    environment's registered limit. reset_seconds: robot time of one reset [s]. The environment's
    ``robot_spec`` wins over all of these. Raises DexloopError for spaces that are not supported and
    for a rate or deadline that nobody gives.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        name: str,
        task: str,
        control_hz: float | None = None,
        reset_seconds: float | None = None,
        max_steps: int | None = None,
    ) -> None:
        self._env = env
        self._layout = ObservationLayout.of(env.observation_space)
        self._scale = ActionScale.of(env.action_space)
        own: RobotSpec | None = self._optional("robot_spec")
        size = self._scale.middle.size
        # Sizes come from the space: a wrapper or a render mode may have changed what is seen.
        seen = self._layout.spec
        if own is not None and len(own.observation.proprio_names) == seen.proprio:
            seen = replace(seen, proprio_names=own.observation.proprio_names)
        self._adds_time = _REMAINING_TIME not in seen.proprio_names
        if self._adds_time:
            seen = replace(seen, proprio=seen.proprio + 1, proprio_names=(*seen.proprio_names, _REMAINING_TIME))
        if own is None:
            self._spec = RobotSpec(
                name=name,
                task=task,
                action=ActionSpec(size, (ActionGroup("all", 0, size),)),
                observation=seen,
                control_hz=_control_hz(env, control_hz),
                max_steps=_max_steps(env, max_steps),
                reset_seconds=reset_seconds or 0.0,
                can_hold=self._optional("hold") is not None,
            )
        else:
            if own.action.size != size:
                raise DexloopError(f"{own.name}'s robot_spec has {own.action.size} actions, its space {size}")
            self._spec = replace(own, observation=seen)
        self._steps = 0
        self._last: Observation | None = None

    @property
    def spec(self) -> RobotSpec:
        return self._spec

    def reset(self, seed: int) -> Observation:
        """Start an episode from ``seed``; raises DexloopError where the first observation is not finite."""
        raw, _ = self._env.reset(seed=seed)
        observation = self._layout.read(raw)
        if observation is None:
            raise DexloopError(f"{self._spec.name}: the observation after reset(seed={seed}) is not finite")
        self._steps, self._last = 0, observation
        return self._timed(observation)

    def step(self, action: object) -> Step:
        """Execute ``action`` (A,), clipped to [-1, 1].

        An observation that is not finite is a fault: the last finite one is repeated in its place.
        Raises DexloopError for an action of another shape or with a number that is not finite.
        """
        if self._last is None:
            raise DexloopError(f"{self._spec.name}: reset the robot before the first step")
        clipped = self._clipped(action)
        raw, reward, terminated, truncated, info = self._env.step(self._scale.to_box(clipped))
        self._steps += 1
        fault: str | None = str(info["fault"]) if info.get("fault") else None
        observation = self._layout.read(raw)
        if observation is None:
            fault = fault or _NOT_FINITE
            observation = self._last
        self._last = observation
        executed = info.get("executed")
        return Step(
            observation=self._timed(observation),
            executed=clipped if executed is None else self._scale.from_box(executed),
            reward=float(reward),
            terminated=bool(terminated),
            truncated=bool(truncated) or (self._steps >= self._spec.max_steps and not terminated),
            success=_success(info),
            fault=fault,
        )

    def hold(self) -> Observation:
        """Rest for one control period, in which no time of the task passes.

        Raises RobotFault where the observation is not finite, and DexloopError where the environment cannot hold.
        """
        hold: Callable[[], Any] | None = self._optional("hold")
        if hold is None or self._last is None:
            raise DexloopError(f"{self._spec.name} cannot hold: its environment has no hold()")
        observation = self._layout.read(hold())
        if observation is None:
            raise RobotFault(_NOT_FINITE)
        self._last = observation
        return self._timed(observation)

    def stop(self) -> None:
        """The environment's ``stop()``; without one there is nothing that moves between two steps."""
        self._call("stop")

    def rearm(self) -> None:
        """The environment's ``rearm()``, where it has one."""
        self._call("rearm")

    def announce(self, policy_version: int) -> None:
        """The environment's ``announce()``, where it has one."""
        function: Callable[[int], object] | None = self._optional("announce")
        if function is not None:
            function(policy_version)

    def close(self) -> None:
        self._env.close()

    def _timed(self, observation: Observation) -> Observation:
        """The observation with the fraction of the deadline that remains at its end, unless it is in there already."""
        if not self._adds_time:
            return observation
        remaining = np.array([max(0.0, 1.0 - self._steps / self._spec.max_steps)], np.float32)
        return replace(observation, proprio=np.concatenate([observation.proprio, remaining]))

    def _clipped(self, action: object) -> FloatArray:
        values = np.asarray(cast(Any, action), np.float32)
        size = self._spec.action.size
        if values.shape != (size,):
            raise DexloopError(f"{self._spec.name}: an action has shape ({size},), got {values.shape}")
        if not np.isfinite(values).all():
            raise DexloopError(f"{self._spec.name}: the action is not finite: {values.tolist()}")
        return np.clip(values, -1, 1)

    def _optional(self, attribute: str) -> Any:
        """What the environment or one of its wrappers has under this name, or None."""
        env = self._env
        return env.get_wrapper_attr(attribute) if env.has_wrapper_attr(attribute) else None

    def _call(self, method: str) -> None:
        function: Callable[[], object] | None = self._optional(method)
        if function is not None:
            function()


def open_gym(
    env_id: str,
    *,
    control_hz: float | None = None,
    reset_seconds: float | None = None,
    max_steps: int | None = None,
    **kwargs: Any,
) -> GymRobot:
    """The robot for ``gym:ID`` (or ``ID``); other keywords go to ``gymnasium.make``.

    Raises DexloopError where Gymnasium does not know the environment or cannot make it, and where the rate or the
    deadline is not the environment's own and it has one of its own.
    """
    name = env_id.removeprefix(_PREFIX)
    try:
        # GymRobot checks what it reads itself; Gymnasium's checker would say it twice.
        env: gymnasium.Env[Any, Any] = gymnasium.make(
            name, max_episode_steps=max_steps, disable_env_checker=True, **kwargs
        )
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise DexloopError(f"--robot {_PREFIX}{name}: {' '.join(str(error).split())}") from error
    robot = GymRobot(env, name=name, task=name, control_hz=control_hz, reset_seconds=reset_seconds, max_steps=max_steps)
    own = robot.spec
    for flag, wanted, found in (("control-hz", control_hz, own.control_hz), ("max-steps", max_steps, own.max_steps)):
        if wanted is not None and wanted != found:
            raise DexloopError(f"--gym.{flag} {wanted:g}: {name} says itself that it is {found:g}; leave it out")
    return robot


def _control_hz(env: gymnasium.Env[Any, Any], wanted: float | None) -> float:
    rate = wanted or env.metadata.get("render_fps")
    if not rate or rate <= 0:
        raise DexloopError("the environment does not say its control rate: give control_hz in Hz, above 0")
    return float(rate)


def _max_steps(env: gymnasium.Env[Any, Any], wanted: int | None) -> int:
    registered = env.spec.max_episode_steps if env.spec else None
    steps = wanted or registered
    if not steps or steps < 1:
        raise DexloopError("the environment has no time limit: give max_steps in control steps, above 0")
    if registered and steps > registered:
        raise DexloopError(f"max_steps={steps} is beyond the environment's own limit of {registered} steps")
    return int(steps)


def _success(info: Mapping[str, Any]) -> bool | None:
    for key in ("is_success", "success"):
        if info.get(key) is not None:
            return bool(info[key])
    return None
