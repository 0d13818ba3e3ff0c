"""The episode loop over real Gymnasium environments: Pendulum, and a small lift with every way to end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dexloop.episode import VoidLimit, run_episode
from dexloop.errors import DexloopError
from dexloop.gates.human import HumanGate
from dexloop.operators.idle import StillPolicy
from dexloop.rewards.environment import EnvironmentReward
from dexloop.robot.gym import GymRobot, open_gym
from dexloop.types import HANDS_OFF, Decision, Episode, Observation, OperatorInput, Proposal, Transition, Verdict
from tests.lift import GRASPED, UP, Constant, Script, lift


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


HAND_ONLY = np.array([False, True])
CLOSE = OperatorInput(np.array([-1.0, 1.0], np.float32), HAND_ONLY)


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


def test_a_robot_that_has_just_been_reset_is_not_reset_again() -> None:
    env, robot = lift()
    usual = run(robot, Constant(1.0, 1.0), seed=7)
    start = robot.reset(7)
    episode = run(robot, Constant(1.0, 1.0), seed=7, start=start)
    assert env.seeds == [7, 7] and episode.transitions[0].observation is start
    assert len(episode) == len(usual) == 4 and episode.success
    assert episode.robot_seconds == usual.robot_seconds, "the reset was this episode's all the same"


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
    assert episode.info == {"verdict": verdict.value}
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
    assert env.steps == len(episode) == 0 and not episode.valid and not episode.success
    assert episode.robot_seconds == pytest.approx(2.0)


def test_stop_ends_the_session_and_voids_the_episode() -> None:
    env, robot = lift()
    episode = run(robot, operator=Script(HANDS_OFF, OperatorInput(stop=True)))
    assert env.steps == 1 and episode.stop and not episode.valid and not episode.success
    assert not episode.info


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


class Counting(Constant):
    """Remembers what it was asked about."""

    def __init__(self) -> None:
        super().__init__(1.0, 1.0)
        self.asked: list[Observation] = []

    def act(self, observation: Observation, explore: bool) -> Proposal:
        self.asked.append(observation)
        return super().act(observation, explore)


@pytest.mark.parametrize("before", [0, 1])
def test_a_policy_is_not_asked_during_a_pause_and_sees_what_is_there_after_it(before: int) -> None:
    """What remembers the pictures of an episode would remember nothing else after a long one."""
    _, robot = lift()
    policy = Counting()
    script = Script(*[HANDS_OFF] * before, *[OperatorInput(pause=True)] * 20)
    episode = run(robot, policy, operator=script)
    acted = [id(t.observation) for t in episode.transitions]
    assert len(episode) == 4 and [id(o) for o in policy.asked if id(o) in acted] == acted
    assert len(policy.asked) == 4, "once in every step"


def test_a_robot_that_cannot_hold_says_so() -> None:
    robot = open_gym("gym:Pendulum-v1")
    with pytest.raises(DexloopError, match="cannot hold"):
        run(robot, StillPolicy(robot.spec), operator=Script(OperatorInput(pause=True)))


def test_a_fault_ends_the_episode_invalid() -> None:
    _, robot = lift()
    log = Log("only", [])
    episode = run(robot, Constant(-1.0, 0.0), listeners=[log])
    assert len(episode) == 1 and not episode.valid and not episode.success and not episode.stop
    assert log.episodes == [episode] and episode.info == {"fault": "below the floor"}


def test_a_fault_in_the_step_of_success_leaves_no_success() -> None:
    _, robot = lift(broken={4: 4})
    episode = run(robot, GRASPED)
    assert len(episode) == 4 and episode.transitions[-1].success and episode.true_success
    assert not episode.success and not episode.valid and episode.info == {"fault": "watchdog"}
    sound = run(robot, GRASPED, seed=5)
    assert sound.success and sound.valid and sound.info == {}


def test_a_fault_while_holding_ends_the_episode_invalid() -> None:
    env, robot = lift(loose=True)
    episode = run(robot, Constant(1.0, 1.0), operator=Script(HANDS_OFF, OperatorInput(pause=True)))
    assert env.held == 1 and len(episode) == 1
    assert not episode.valid and not episode.success and episode.info == {"fault": "slipped"}
    assert episode.robot_seconds == pytest.approx(2 / 10 + 2.0)


def test_a_fault_that_stays_ends_the_series() -> None:
    _, broken = lift(broken={4: 1})
    _, sound = lift()
    limit = VoidLimit(3)
    for robot in (broken, broken, sound, broken, broken):
        limit.check(run(robot))
    with pytest.raises(DexloopError, match="3 episodes in a row were void, the last by a fault: watchdog"):
        limit.check(run(broken))
    discarded = run(sound, operator=Script(HANDS_OFF, OperatorInput(verdict=Verdict.DISCARD)))
    with pytest.raises(DexloopError, match="1 episodes in a row were void, without a fault"):
        VoidLimit(1).check(discarded)


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
