from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from dexloop.core import Robot
from dexloop.errors import DexloopError, RobotFault
from dexloop.robot.gym import GymRobot, open_gym
from dexloop.sim.env import DexEnv
from dexloop.types import ActionGroup, ActionSpec, Observation, ObservationSpec, RobotSpec, Step


class Scripted(gymnasium.Env[Any, Any]):
    """Counts its steps; what it sees and says is given. Actions lie in [-2, 6]."""

    metadata = {"render_fps": 20}  # noqa: RUF012

    def __init__(self, space: spaces.Space[Any], seen: Any, info: dict[str, Any] | None = None, ends: int = 0) -> None:
        self.observation_space = space
        self.action_space = spaces.Box(-2.0, 6.0, (2,), np.float64)
        self.seen = seen
        self.info = info or {}
        self.ends = ends
        self.actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.reset_seed = seed
        return self.seen, {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.actions.append(action)
        return self.seen, 1.5, len(self.actions) == self.ends, False, self.info


class Holding(Scripted):
    """One that can also hold and stop, and says what it is."""

    robot_spec = RobotSpec(
        name="own",
        task="own-task",
        action=ActionSpec(2, (ActionGroup("arm", 0, 1), ActionGroup("hand", 1, 2)), ("x", "grip")),
        observation=ObservationSpec(proprio=2, proprio_names=("a", "b")),
        control_hz=7.0,
        max_steps=9,
        reset_seconds=3.0,
        can_hold=True,
    )
    calls: tuple[str, ...] = ()

    def hold(self) -> Any:
        self.calls += ("hold",)
        return self.seen

    def stop(self) -> None:
        self.calls += ("stop",)

    def rearm(self) -> None:
        self.calls += ("rearm",)


VECTOR = spaces.Box(-np.inf, np.inf, (2,), np.float64)
SEEN = np.array([0.25, -4.0])


def robot_of(env: gymnasium.Env[Any, Any], **kwargs: Any) -> GymRobot:
    return GymRobot(env, name="tiny", task="tiny-task", **({"max_steps": 50} | kwargs))


def first_step(robot: GymRobot, action: Any = (0.0, 0.0)) -> Step:
    robot.reset(1)
    return robot.step(np.array(action, np.float32))


def test_pendulum_is_a_robot_with_its_registered_limits() -> None:
    robot: Robot = open_gym("gym:Pendulum-v1", reset_seconds=2.0)
    assert robot.spec.name == robot.spec.task == "Pendulum-v1"
    assert (robot.spec.max_steps, robot.spec.control_hz, robot.spec.reset_seconds) == (200, 30.0, 2.0)
    assert robot.spec.action.groups == (ActionGroup("all", 0, 1),)
    assert robot.spec.observation.proprio_names == ("proprio.0", "proprio.1", "proprio.2", "remaining_time")
    assert robot.spec.observation.proprio == 4 and not robot.spec.can_hold
    first = robot.reset(5_000_000_007)
    assert first.proprio.dtype == np.float32 and first.privileged is None and not first.images
    assert np.array_equal(first.proprio, robot.reset(5_000_000_007).proprio)
    assert not np.array_equal(first.proprio, robot.reset(5_000_000_008).proprio)
    steps = [robot.step(np.zeros(1, np.float32)) for _ in range(200)]
    assert [step.truncated for step in steps] == [False] * 199 + [True]
    assert steps[0].success is None and steps[0].fault is None and steps[0].reward < 0
    robot.close()


def test_pendulum_is_driven_in_its_own_units() -> None:
    """Torque is in [-2, 2]; against gymnasium itself, so that the scale is right and not only consistent."""
    raw = gymnasium.make("Pendulum-v1")
    raw.reset(seed=3)
    expected, reward, *_ = raw.step(np.array([1.0], np.float32))
    robot = open_gym("Pendulum-v1")
    robot.reset(3)
    step = robot.step(np.array([0.5], np.float32))
    assert np.array_equal(step.observation.proprio[:3], expected) and step.reward == pytest.approx(reward)


def test_the_mountain_car_reaches_its_goal() -> None:
    robot = open_gym("gym:MountainCarContinuous-v0", max_steps=300)
    observation = robot.reset(11)
    for _ in range(300):
        step = robot.step(np.sign(observation.proprio[1:2]) + np.float32(observation.proprio[1] == 0))
        observation = step.observation
        if step.terminated or step.truncated:
            break
    assert step.terminated and not step.truncated and step.reward > 50


def test_the_deadline_is_kept_for_an_environment_without_one() -> None:
    robot = robot_of(Scripted(VECTOR, SEEN, ends=5), max_steps=3)
    robot.reset(0)
    assert [robot.step(np.zeros(2)).truncated for _ in range(3)] == [False, False, True]
    late = robot_of(Scripted(VECTOR, SEEN, ends=3), max_steps=3)
    late.reset(0)
    last = [late.step(np.zeros(2)) for _ in range(3)][-1]
    assert last.terminated and not last.truncated


def test_a_camera_alone() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    env = Scripted(spaces.Box(0, 255, (4, 6, 3), np.uint8), image)
    robot = robot_of(env)
    assert robot.spec.observation == ObservationSpec(1, {"image": (4, 6)}, proprio_names=("remaining_time",))
    observation = robot.reset(0)
    assert observation.proprio.tolist() == [1.0] and np.array_equal(observation.images["image"], image)
    image[:] = 0  # the environment draws into the same buffer again
    assert observation.images["image"].any()
    env.seen = np.zeros((4, 6, 3), np.float32)
    with pytest.raises(DexloopError, match=r"camera 'image' gave shape \(4, 6, 3\) and type float32"):
        robot.step(np.zeros(2))


def test_a_dictionary_is_sorted_into_its_parts() -> None:
    space = spaces.Dict(
        {
            "wrist": spaces.Box(0, 255, (2, 2, 3), np.uint8),
            "zeta": spaces.Box(-1, 1, (), np.float32),
            "force": spaces.Box(0, 9, (2,), np.int64),
            "proprio": spaces.Box(-1, 1, (2,), np.float64),
            "privileged": spaces.Box(-1, 1, (3,), np.float64),
        }
    )
    seen = {
        "wrist": np.full((2, 2, 3), 7, np.uint8),
        "zeta": np.float32(0.5),
        "force": np.array([3, 4]),
        "proprio": np.array([0.1, 0.2]),
        "privileged": np.array([1.0, 2.0, 3.0]),
    }
    robot = robot_of(Scripted(space, seen))
    assert robot.spec.observation == ObservationSpec(
        proprio=6,
        cameras={"wrist": (2, 2)},
        privileged=3,
        proprio_names=("proprio.0", "proprio.1", "force.0", "force.1", "zeta.0", "remaining_time"),
    )
    observation = robot.reset(0)
    assert np.array_equal(observation.proprio, np.array([0.1, 0.2, 3, 4, 0.5, 1], np.float32))
    assert observation.privileged is not None and observation.privileged.dtype == np.float32
    assert observation.privileged.tolist() == [1, 2, 3]
    assert list(observation.images) == ["wrist"]


def test_a_goal_environment() -> None:
    keys = ("observation", "achieved_goal", "desired_goal")
    space = spaces.Dict({key: spaces.Box(-9, 9, (1,), np.float64) for key in keys})
    seen = {"observation": np.array([3.0]), "achieved_goal": np.array([1.0]), "desired_goal": np.array([2.0])}
    assert robot_of(Scripted(space, seen)).reset(0).proprio.tolist() == [1, 2, 3, 1]


@pytest.mark.parametrize("key", ["proprio", "privileged"])
@pytest.mark.parametrize("number", [np.nan, np.inf, 1e60])
def test_an_observation_that_is_not_finite_is_a_fault(key: str, number: float) -> None:
    space = spaces.Dict({"proprio": VECTOR, "privileged": VECTOR})
    good = {"proprio": SEEN, "privileged": SEEN}
    env = Scripted(space, good)
    robot = robot_of(env)
    robot.reset(0)
    env.seen = good | {key: np.array([0.0, number])}
    step = robot.step(np.zeros(2))
    assert step.fault == "observation is not finite"
    assert step.observation.proprio == pytest.approx([0.25, -4.0, 0.98])
    with pytest.raises(DexloopError, match="after reset"):
        robot.reset(0)


def test_actions_are_clipped_and_mapped_to_the_box() -> None:
    env = Scripted(VECTOR, SEEN)
    step = first_step(robot_of(env), (-0.5, 3.0))
    assert env.actions[0].tolist() == [0.0, 6.0] and env.actions[0].dtype == np.float64
    assert step.executed.tolist() == [-0.5, 1.0] and step.executed.dtype == np.float32
    assert step.reward == 1.5


def test_what_was_executed_comes_back_in_action_units() -> None:
    step = first_step(robot_of(Scripted(VECTOR, SEEN, {"executed": np.array([2.0, -2.0])})), (1.0, 1.0))
    assert step.executed.tolist() == [0.0, -1.0] and step.executed.dtype == np.float32


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros(3), r"shape \(2,\), got \(3,\)"),
        (np.zeros((1, 2)), r"got \(1, 2\)"),
        (np.array([0.0, np.nan]), "not finite"),
        (np.array([np.inf, 0.0]), "not finite"),
    ],
)
def test_a_bad_action_never_reaches_the_environment(action: Any, message: str) -> None:
    env = Scripted(VECTOR, SEEN)
    robot = robot_of(env)
    robot.reset(0)
    with pytest.raises(DexloopError, match=message):
        robot.step(action)
    assert env.actions == []


@pytest.mark.parametrize(
    ("info", "success", "fault"),
    [
        ({}, None, None),
        ({"is_success": 1.0}, True, None),
        ({"success": np.bool_(False)}, False, None),
        ({"is_success": False, "success": True}, False, None),
        ({"fault": None}, None, None),
        ({"fault": "watchdog"}, None, "watchdog"),
    ],
)
def test_verdict_and_fault_are_read_from_info(info: dict[str, Any], success: bool | None, fault: str | None) -> None:
    step = first_step(robot_of(Scripted(VECTOR, SEEN, info)))
    assert step.success is success and step.fault == fault


def test_what_the_environment_says_of_itself_wins() -> None:
    env = Holding(VECTOR, SEEN)
    robot = robot_of(gymnasium.wrappers.OrderEnforcing(env), control_hz=99.0)
    own = Holding.robot_spec
    seen = ObservationSpec(3, proprio_names=("a", "b", "remaining_time"))
    assert robot.spec == replace(own, observation=seen)
    assert isinstance(robot.reset(42), Observation) and env.reset_seed == 42
    assert robot.hold().proprio.tolist() == [0.25, -4.0, 1.0]
    robot.stop()
    robot.rearm()
    assert env.calls == ("hold", "stop", "rearm") and env.actions == []


class Timed(Holding):
    """One whose second number is the time that remains."""

    robot_spec = replace(
        Holding.robot_spec, observation=ObservationSpec(proprio=2, proprio_names=("a", "remaining_time"))
    )


def test_the_remaining_time_counts_down_to_the_deadline() -> None:
    robot = robot_of(Scripted(VECTOR, SEEN), max_steps=4)
    seen = [robot.reset(0)] + [robot.step(np.zeros(2)).observation for _ in range(4)]
    assert [o.proprio.tolist() for o in seen] == [[0.25, -4.0, left] for left in (1.0, 0.75, 0.5, 0.25, 0.0)]
    assert all(o.proprio.dtype == np.float32 for o in seen)
    assert robot.step(np.zeros(2)).observation.proprio[2] == 0.0, "never below zero, whoever goes on"
    assert robot.reset(0).proprio[2] == 1.0


def test_no_time_of_the_task_passes_while_holding() -> None:
    robot = robot_of(Holding(VECTOR, SEEN))
    robot.reset(0)
    robot.step(np.zeros(2))
    left = [robot.hold().proprio[2] for _ in range(3)]
    assert left == pytest.approx([8 / 9] * 3)


@pytest.mark.parametrize("names", [("a",), ()])
def test_names_that_do_not_fit_what_is_seen_are_not_taken(names: tuple[str, ...]) -> None:
    env = Holding(VECTOR, SEEN)
    env.robot_spec = replace(Holding.robot_spec, observation=ObservationSpec(2, proprio_names=names))
    assert robot_of(env).spec.observation.proprio_names == ("proprio.0", "proprio.1", "remaining_time")


def test_an_environment_that_counts_down_itself_is_believed() -> None:
    robot = robot_of(Timed(VECTOR, np.array([0.25, 0.5])))
    assert robot.spec == Timed.robot_spec
    assert robot.reset(0).proprio.tolist() == robot.step(np.zeros(2)).observation.proprio.tolist() == [0.25, 0.5]


def test_a_fault_while_holding_is_raised() -> None:
    env = Holding(VECTOR, SEEN)
    robot = robot_of(env)
    robot.reset(0)
    env.seen = np.array([np.nan, 0.0])
    with pytest.raises(RobotFault, match="observation is not finite"):
        robot.hold()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_steps": 20}, "--gym.max-steps 20: .* says itself that it is 100"),
        ({"control_hz": 5.0}, "--gym.control-hz 5: .* says itself that it is 10"),
    ],
)
def test_what_an_environment_says_of_itself_is_not_contradicted(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DexloopError, match=message):
        open_gym("gym:dexloop/CupTaking-v0", **given)
    assert open_gym("gym:dexloop/CupTaking-v0", max_steps=100, control_hz=10.0).spec.max_steps == 100


def test_without_hold_the_robot_says_so() -> None:
    robot = robot_of(Scripted(VECTOR, SEEN))
    robot.reset(0)
    robot.stop()
    robot.rearm()
    with pytest.raises(DexloopError, match="tiny cannot hold"):
        robot.hold()


def test_a_step_before_the_first_reset_is_refused() -> None:
    with pytest.raises(DexloopError, match="reset the robot"):
        robot_of(Scripted(VECTOR, SEEN)).step(np.zeros(2))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Discrete(3), "'proprio' is a Discrete space; supported are"),
        (spaces.Box(0, 1, (4, 6, 3), np.float32), r"shape \(4, 6, 3\) and type float32; supported are"),
        (spaces.Box(0, 255, (3, 4, 6), np.uint8), r"shape \(3, 4, 6\)"),
        (spaces.Dict({"a": spaces.Dict({"b": VECTOR})}), "'a' is a Dict space"),
        (spaces.Dict({"mission": spaces.Text(5)}), "'mission' is a Text space"),
    ],
)
def test_observation_spaces_that_are_not_supported(space: spaces.Space[Any], message: str) -> None:
    with pytest.raises(DexloopError, match=message):
        robot_of(Scripted(space, None))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Discrete(3), "actions are a Discrete space; supported is a 1-D float Box"),
        (spaces.Tuple((VECTOR,)), "actions are a Tuple space"),
        (VECTOR, "finite bounds"),
        (spaces.Box(-1, 1, (2, 2)), r"shape \(2, 2\)"),
        (spaces.Box(0, 3, (2,), np.int64), "type int64"),
        (spaces.Box(1.0, 1.0, (2,)), "low < high"),
    ],
)
def test_action_spaces_that_are_not_supported(space: spaces.Space[Any], message: str) -> None:
    env = Scripted(VECTOR, SEEN)
    env.action_space = space
    with pytest.raises(DexloopError, match=message):
        robot_of(env)


def test_a_rate_and_a_deadline_are_asked_for() -> None:
    env = Scripted(VECTOR, SEEN)
    with pytest.raises(DexloopError, match="max_steps"):
        GymRobot(env, name="tiny", task="tiny")
    env.metadata = {}
    with pytest.raises(DexloopError, match="control_hz"):
        robot_of(env)
    assert robot_of(env, control_hz=12.5).spec.control_hz == 12.5


def test_observations_must_fit_their_space() -> None:
    env = Scripted(spaces.Dict({"a": VECTOR}), {"b": SEEN})
    with pytest.raises(DexloopError, match="lacks 'a'"):
        robot_of(env).reset(0)
    with pytest.raises(DexloopError, match="holds 3 numbers, its space 2"):
        robot_of(Scripted(VECTOR, np.zeros(3))).reset(0)


@pytest.mark.parametrize("env_id", ["Nowhere-v0", "nowhere/There-v0", "Pendulum-v99", "no_such_module:There-v0"])
def test_an_unknown_environment_names_the_flag(env_id: str) -> None:
    with pytest.raises(DexloopError, match=f"^--robot gym:{env_id}: "):
        open_gym(f"gym:{env_id}")


def test_the_simulated_robot_is_a_gymnasium_environment() -> None:
    robot = open_gym("gym:dexloop/CupTaking-v0")
    assert robot.spec.can_hold and robot.spec.observation.cameras
    assert robot.spec.observation == DexEnv().robot_spec.observation, "it counts the remaining time itself"
    observation = robot.reset(7)
    assert set(observation.images) == set(robot.spec.observation.cameras)
    step = robot.step(np.zeros(robot.spec.action.size, np.float32))
    assert step.executed.shape == (robot.spec.action.size,) and step.fault is None
    robot.hold()
    robot.close()
