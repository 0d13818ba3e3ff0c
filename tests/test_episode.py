"""The episode loop over real Gymnasium environments: Pendulum, and a small lift with every way to end."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from dexloop.episode import run_episode
from dexloop.errors import DexloopError
from dexloop.gates.human import HumanGate
from dexloop.operators.idle import StillPolicy
from dexloop.rewards.environment import EnvironmentReward
from dexloop.robot.gym import GymRobot, open_gym
from dexloop.types import (
    HANDS_OFF,
    ActionGroup,
    ActionSpec,
    Decision,
    Episode,
    Observation,
    ObservationSpec,
    OperatorInput,
    Proposal,
    RobotSpec,
    Transition,
    Verdict,
)


class Lift(gymnasium.Env[Any, Any]):
    """A lift of height 0..1 with a hand: success at 1 or above while the hand is closed, fault below 0.

    Action: (arm, hand), the arm moves the lift by 0.25 times itself. Observation: height, hand.
    Success does not terminate, as in a task whose end a reward model has to judge; ``ends`` makes
    it terminate.
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

    def __init__(self, ends: bool = False) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._ends = ends
        self.steps = 0
        self.held = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._state = np.zeros(2, np.float32)
        return self._state, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        # The hand never closes further than 0.75, as a limit in a controller would have it.
        executed = np.array([action[0], min(action[1], 0.75)], np.float32)
        self._state = np.array([self._state[0] + 0.25 * executed[0], executed[1]], np.float32)
        success = bool(self._state[0] >= 1 and self._state[1] > 0.5)
        info: dict[str, Any] = {"executed": executed, "is_success": success}
        if self._state[0] < 0:
            info["fault"] = "below the floor"
        return self._state, float(success), success and self._ends, False, info

    def hold(self) -> Any:
        self.held += 1
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
    """An operator that plays a list of inputs, one a poll, and then takes its hands off."""

    def __init__(self, *inputs: OperatorInput) -> None:
        self._inputs = inputs
        self.asked: list[bool] = []

    def reset(self, seed: int) -> None:
        self.asked.clear()

    def poll(self, observation: Observation, asked: bool) -> OperatorInput:
        self.asked.append(asked)
        return self._inputs[len(self.asked) - 1] if len(self.asked) <= len(self._inputs) else HANDS_OFF


class Log:
    """A listener that writes into a shared log."""

    def __init__(self, name: str, log: list[tuple[str, str, int]]) -> None:
        self._name, self._log = name, log
        self.transitions: list[Transition] = []
        self.episodes: list[Episode] = []

    def on_step(self, transition: Transition) -> None:
        self.transitions.append(transition)
        self._log.append((self._name, "step", len(self.transitions)))

    def on_episode(self, episode: Episode) -> None:
        self.episodes.append(episode)
        self._log.append((self._name, "episode", len(episode)))


UP = Constant(1.0, 0.0)
HAND_ONLY = np.array([False, True])
CLOSE = OperatorInput(np.array([-1.0, 1.0], np.float32), HAND_ONLY)


def lift(ends: bool = False) -> tuple[Lift, GymRobot]:
    env = Lift(ends)
    return env, GymRobot(env, name="lift", task="lift-up")


def run(robot: GymRobot, policy: Constant | StillPolicy = UP, **kwargs: Any) -> Episode:
    return run_episode(robot, policy, EnvironmentReward(), HumanGate(), **({"seed": 4} | kwargs))


def test_pendulum_runs_to_its_deadline() -> None:
    robot = open_gym("gym:Pendulum-v1", max_steps=30)
    episode = run(robot, StillPolicy(robot.spec))
    assert len(episode) == 30 and episode.task == "Pendulum-v1" and episode.seed == 4
    last = episode.transitions[-1]
    assert last.truncated and not last.terminated
    assert not any(t.truncated or t.terminated for t in episode.transitions[:-1])
    assert not episode.success and episode.true_success is None and episode.valid and not episode.stop
    assert episode.robot_seconds == pytest.approx(1.0) and episode.wall_seconds > 0
    for before, after in zip(episode.transitions, episode.transitions[1:], strict=False):
        assert before.next_observation is after.observation
    again = run(robot, StillPolicy(robot.spec))
    assert [t.reward for t in again.transitions] == [t.reward for t in episode.transitions]


def test_success_terminates_with_what_was_proposed_and_executed() -> None:
    _, robot = lift()
    policy = Constant(1.0, 1.0)
    episode = run(robot, policy, explore=True)
    assert len(episode) == 4 and episode.success and episode.true_success is True
    last = episode.transitions[-1]
    assert last.terminated and not last.truncated and last.reward == 1.0 and last.success
    assert last.proposed.tolist() == [1.0, 1.0] and last.executed.tolist() == [1.0, 0.75]
    assert [t.true_success for t in episode.transitions] == [False, False, False, True]
    assert policy.seeds == [4] and policy.explored == [True] * 4
    assert episode.operator_steps == 0 and episode.robot_seconds == pytest.approx(4 / 10 + 2.0)


def test_an_open_hand_lifts_in_vain_until_the_deadline() -> None:
    _, robot = lift()
    episode = run(robot)
    assert len(episode) == 8 and not episode.success and episode.true_success is False
    assert episode.transitions[-1].truncated and not episode.transitions[-1].terminated


def test_the_operator_takes_over_one_group_and_the_policy_keeps_the_other() -> None:
    _, robot = lift()
    episode = run(robot, operator=Script(HANDS_OFF, *[CLOSE] * 5))
    assert episode.success and len(episode) == 4 and episode.operator_steps == 3
    first, second = episode.transitions[:2]
    assert not first.control.any() and first.executed.tolist() == [1.0, 0.0]
    assert second.control.tolist() == [False, True]
    assert second.proposed.tolist() == [1.0, 0.0] and second.executed.tolist() == [1.0, 0.75]


@pytest.mark.parametrize(
    ("verdict", "success", "valid", "reward"),
    [
        (Verdict.SUCCESS, True, True, 1.0),
        (Verdict.FAILURE, False, True, 0.0),
        (Verdict.DISCARD, False, False, 0.0),
    ],
)
def test_a_verdict_ends_the_episode_and_labels_its_last_step(
    verdict: Verdict, success: bool, valid: bool, reward: float
) -> None:
    env, robot = lift()
    episode = run(robot, operator=Script(HANDS_OFF, HANDS_OFF, OperatorInput(verdict=verdict)))
    assert env.steps == len(episode) == 2
    assert (episode.success, episode.valid, episode.stop) == (success, valid, False)
    assert episode.true_success is False  # the environment's own word stays
    last = episode.transitions[-1]
    assert (last.reward, last.success, last.terminated, last.truncated) == (reward, success, True, False)
    assert not episode.transitions[0].terminated


def test_a_failure_verdict_overrules_a_success_seen_before() -> None:
    _, robot = lift()
    script = Script(*[HANDS_OFF] * 5, OperatorInput(verdict=Verdict.FAILURE))
    episode = run(robot, Constant(1.0, 1.0), operator=script, tail_steps=3)
    assert len(episode) == 5 and not episode.success and episode.true_success is True


def test_a_verdict_before_the_first_step_leaves_nothing_valid() -> None:
    env, robot = lift()
    episode = run(robot, operator=Script(OperatorInput(verdict=Verdict.SUCCESS)))
    assert env.steps == len(episode) == 0 and not episode.valid
    assert episode.robot_seconds == pytest.approx(2.0)


def test_stop_ends_the_session_and_voids_the_episode() -> None:
    env, robot = lift()
    episode = run(robot, operator=Script(HANDS_OFF, OperatorInput(stop=True)))
    assert env.steps == 1 and episode.stop and not episode.valid and not episode.success


@pytest.mark.parametrize("tail_steps", [0, 1, 3])
def test_the_tail_goes_on_after_success_and_then_terminates(tail_steps: int) -> None:
    _, robot = lift()
    episode = run(robot, Constant(1.0, 1.0), tail_steps=tail_steps)
    assert len(episode) == 4 + tail_steps and episode.success
    assert [t.success for t in episode.transitions] == [False] * 3 + [True] * (1 + tail_steps)
    assert [t.terminated for t in episode.transitions] == [False] * (3 + tail_steps) + [True]


def test_the_deadline_cuts_a_tail() -> None:
    _, robot = lift()
    episode = run(robot, Constant(1.0, 1.0), tail_steps=20)
    assert len(episode) == 8 and episode.success and episode.transitions[-1].truncated


def test_an_environment_that_terminates_cuts_a_tail() -> None:
    _, robot = lift(ends=True)
    episode = run(robot, Constant(1.0, 1.0), tail_steps=3)
    assert len(episode) == 4 and episode.success and episode.transitions[-1].terminated


def test_holding_costs_robot_time_but_no_step() -> None:
    env, robot = lift()
    pause = OperatorInput(pause=True)
    episode = run(robot, Constant(1.0, 1.0), operator=Script(HANDS_OFF, *[pause] * 20))
    assert env.held == 20 and env.steps == len(episode) == 4  # more pauses than the deadline has steps
    assert episode.success and episode.operator_steps == 0
    assert episode.robot_seconds == pytest.approx(24 / 10 + 2.0)


def test_a_robot_that_cannot_hold_says_so() -> None:
    robot = open_gym("gym:Pendulum-v1")
    with pytest.raises(DexloopError, match="cannot hold"):
        run(robot, StillPolicy(robot.spec), operator=Script(OperatorInput(pause=True)))


def test_a_fault_ends_the_episode_invalid() -> None:
    _, robot = lift()
    log = Log("only", [])
    episode = run(robot, Constant(-1.0, 0.0), listeners=[log])
    assert len(episode) == 1 and not episode.valid and not episode.success and not episode.stop
    assert log.episodes == [episode]


def test_listeners_hear_every_step_and_then_the_episode_in_their_order() -> None:
    _, robot = lift()
    log: list[tuple[str, str, int]] = []
    first, second = Log("first", log), Log("second", log)
    episode = run(robot, Constant(1.0, 1.0), listeners=[first, second])
    steps = [(name, "step", count) for count in range(1, 5) for name in ("first", "second")]
    assert log == [*steps, ("first", "episode", 4), ("second", "episode", 4)]
    assert tuple(first.transitions) == episode.transitions and second.episodes[0] is episode


class Asking:
    """A gate that asks for help from the second decision on, and lets the policy drive until it comes."""

    def __init__(self) -> None:
        self._decisions = 0

    def reset(self) -> None:
        self._decisions = 0

    def decide(self, proposal: Proposal, operator_input: OperatorInput) -> Decision:
        self._decisions += 1
        return Decision(control=np.zeros(2, np.bool_), ask=self._decisions > 1)


def test_the_operator_is_told_of_a_request_at_the_next_poll() -> None:
    _, robot = lift()
    operator = Script()
    run_episode(robot, Constant(1.0, 1.0), EnvironmentReward(), Asking(), seed=1, operator=operator)
    assert operator.asked == [False, False, True, True]
