"""A small robot with every way to end an episode, and who may drive it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from dexloop.errors import RobotFault
from dexloop.robot.gym import GymRobot
from dexloop.types import (
    HANDS_OFF,
    ActionGroup,
    ActionSpec,
    Observation,
    ObservationSpec,
    OperatorInput,
    Proposal,
    RobotSpec,
)


class Lift(gymnasium.Env[Any, Any]):
    """A lift of height 0..1 with a hand: success at 1 or above while the hand is closed, fault below 0.

    Action: (arm, hand), the arm moves the lift by 0.25 times itself. Observation: height, hand.
    Success does not terminate, as in a task whose end a reward model has to judge; ``ends`` makes
    it terminate. ``silent`` gives no verdict. ``broken``: for seeds with a fault, the step it is in.
    ``loose``: holding it is a fault.
    """

    robot_spec = RobotSpec(
        name="lift",
        task="lift-up",
        action=ActionSpec(2, (ActionGroup("arm", 0, 1), ActionGroup("hand", 1, 2))),
        observation=ObservationSpec(2),
        control_hz=10.0,
        max_steps=8,
        reset_seconds=2.0,
        can_hold=True,
    )

    def __init__(
        self,
        *,
        ends: bool = False,
        silent: bool = False,
        broken: Mapping[int, int] = MappingProxyType({}),
        loose: bool = False,
    ) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._ends, self._silent, self._broken, self._loose = ends, silent, broken, loose
        self.seeds: list[int] = []
        self.steps = 0
        self.held = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seeds.append(-1 if seed is None else seed)
        self._left = self._broken.get(self.seeds[-1], 0)
        self._state = np.zeros(2, np.float32)
        return self._state, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self._left -= 1
        # The hand never closes further than 0.75, as a limit in a controller would have it.
        executed = np.array([action[0], min(action[1], 0.75)], np.float32)
        self._state = np.array([self._state[0] + 0.25 * executed[0], executed[1]], np.float32)
        success = bool(self._state[0] >= 1 and self._state[1] > 0.5)
        info: dict[str, Any] = {"executed": executed}
        if not self._silent:
            info["is_success"] = success
        if self._state[0] < 0:
            info["fault"] = "below the floor"
        if self._left == 0:
            info["fault"] = "watchdog"
        return self._state, float(success), success and self._ends, False, info

    def hold(self) -> Any:
        self.held += 1
        if self._loose:
            raise RobotFault("slipped")
        return self._state


class Constant:
    """Always proposes the same action, and keeps what it was reset and called with."""

    def __init__(self, *action: float) -> None:
        self._action = np.array(action, np.float32)
        self.seeds: list[int] = []
        self.explored: list[bool] = []

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)

    def act(self, observation: Observation, explore: bool) -> Proposal:
        self.explored.append(explore)
        return Proposal(self._action.copy())


class Script:
    """An operator that plays a list of inputs in every episode, one a poll, and then takes its hands off."""

    def __init__(self, *inputs: OperatorInput) -> None:
        self._inputs = inputs
        self.asked: list[bool] = []

    def reset(self, seed: int) -> None:
        self.asked.clear()

    def poll(self, observation: Observation, asked: bool) -> OperatorInput:
        self.asked.append(asked)
        return self._inputs[len(self.asked) - 1] if len(self.asked) <= len(self._inputs) else HANDS_OFF


UP = Constant(1.0, 0.0)
"""Lifts with an open hand: never a success."""

GRASPED = Constant(1.0, 1.0)
"""Succeeds in the fourth step."""


def lift(**options: Any) -> tuple[Lift, GymRobot]:
    env = Lift(**options)
    return env, GymRobot(env, name="lift", task="lift-up")
