"""Demonstrations and rollouts on a robot that breaks down, and on one without a word of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dexloop.algorithms.bc import CloningConfig
from dexloop.config import RecordConfig, RunConfig
from dexloop.data.dataset import EpisodeDataset
from dexloop.errors import DexloopError
from dexloop.networks.storage import load_agent
from dexloop.operators.judge import JudgingOperator
from dexloop.operators.policy import PolicyOperator
from dexloop.pipeline.learner import build_learner
from dexloop.pipeline.online import build_actor
from dexloop.pipeline.record import record_demonstrations, record_rollouts, rollout_seconds
from dexloop.pipeline.run import Run
from dexloop.pipeline.verbs import fork
from dexloop.presets import PRESETS
from dexloop.rewards.environment import EnvironmentReward
from dexloop.rewards.person import PersonReward
from dexloop.runtime.metrics import read_metrics
from dexloop.runtime.run_directory import RunDirectory
from dexloop.seeds import Purpose, episode_seed
from dexloop.types import HANDS_OFF, OperatorInput, Verdict
from tests.lift import GRASPED, UP, Constant, Script, lift

RECORD = RecordConfig(episodes=3, rollouts=3, rollouts_by="clone", tail_seconds=0.0)
SIMULATION = RunConfig(reward="simulation", record=RECORD)
PERSON = RunConfig(reward="person", operator="mine:make", record=RECORD)
DEMOS, ROLLOUTS = (
    [episode_seed(purpose, 0, attempt) for attempt in range(40)]
    for purpose in (Purpose.DEMONSTRATIONS, Purpose.ROLLOUTS)
)
DRIVE = OperatorInput(GRASPED.act(None, False).action)  # type: ignore[arg-type]
YES, NO = OperatorInput(verdict=Verdict.SUCCESS), OperatorInput(verdict=Verdict.FAILURE)


def make_operator(spec: object) -> Script:
    return Script(DRIVE, DRIVE, YES)


def make_policy(spec: object) -> Constant:
    return GRASPED


def seeds(path: Path) -> list[int]:
    dataset = EpisodeDataset.open(path)
    return [dataset.episode_info(index).seed for index in dataset.episodes]


def test_a_demonstration_with_a_fault_is_done_again_from_the_next_seed(tmp_path: Path) -> None:
    _, robot = lift(broken={DEMOS[1]: 1, DEMOS[2]: 4})
    record_demonstrations(SIMULATION, robot, PolicyOperator(GRASPED), tmp_path / "demos").close()
    assert seeds(tmp_path / "demos") == [DEMOS[0], DEMOS[3], DEMOS[4]]


def test_a_new_run_resets_the_robot_once_an_attempt(tmp_path: Path) -> None:
    """A robot moves when it is reset, and a person puts the object back."""
    directory = RunDirectory(tmp_path / "run")
    config = RunConfig(reward="person", operator="tests.pipeline.test_record:make_operator", record=RECORD)
    env, robot = lift(silent=True, broken={DEMOS[1]: 1})
    for _ in range(2):
        Run(directory, config, robot).record()
    assert env.seeds == DEMOS[:4], "the one with a fault is done again, and what is there is not"
    recorded = EpisodeDataset.open(directory.demos)
    assert [len(recorded.episode(index)) for index in recorded.episodes] == [2, 2, 2]
    assert [t.observation.proprio[0] for t in recorded.episode(0).transitions] == [0.0, 0.25]


def test_demonstrations_of_before_are_gone_on_with_from_a_reset_of_their_own(tmp_path: Path) -> None:
    one = replace(SIMULATION, record=replace(RECORD, episodes=1))
    env, robot = lift()
    record_demonstrations(one, robot, PolicyOperator(GRASPED), tmp_path / "demos").close()
    start = robot.reset(DEMOS[0])
    record_demonstrations(SIMULATION, robot, PolicyOperator(GRASPED), tmp_path / "demos", start).close()
    assert env.seeds == [DEMOS[0], DEMOS[0], DEMOS[1], DEMOS[2]]


def test_a_rollout_with_a_fault_is_done_again_from_the_next_seed_after_an_interruption_too(tmp_path: Path) -> None:
    _, robot = lift(broken={ROLLOUTS[1]: 1})
    few = RunConfig(reward="simulation", record=RecordConfig(rollouts=2, tail_seconds=0.0))
    record_rollouts(few, robot, [UP], tmp_path / "rollouts", EnvironmentReward()).close()
    record_rollouts(SIMULATION, robot, [UP], tmp_path / "rollouts", EnvironmentReward()).close()
    assert seeds(tmp_path / "rollouts") == [ROLLOUTS[0], ROLLOUTS[2], ROLLOUTS[3]]


def test_void_rollouts_cost_robot_time_though_they_are_not_kept(tmp_path: Path) -> None:
    """In the run's robot minutes, in the actor's budget, and in a run that takes the rollouts over."""
    env, robot = lift(broken={ROLLOUTS[0]: 1, ROLLOUTS[2]: 3})
    smoke = replace(PRESETS["smoke"], observation="privileged", reward="simulation", record=RECORD)
    config = replace(smoke, operator="tests.pipeline.test_record:make_policy", cloning=CloningConfig(updates=2))
    run = Run(RunDirectory(tmp_path / "run"), config, robot)
    run.record()
    run.pretrain()
    resets, steps = len(env.seeds), env.steps
    run.collect_rollouts()
    tried, kept = env.seeds[resets:], seeds(run.directory.rollouts)
    seconds = len(tried) * 2.0 + (env.steps - steps) / 10
    assert tried[:3] == ROLLOUTS[:3] and len(kept) == 3 and not {ROLLOUTS[0], ROLLOUTS[2]} & set(kept)
    assert 60 * run.robot_minutes() == pytest.approx(seconds)
    noted = list(read_metrics(run.directory.rollouts / "void.jsonl"))
    assert len(noted) == len(tried) - 3 and (noted[0]["fault"], noted[0]["length"]) == ("watchdog", 1)

    assert fork(run, config, tmp_path / "other").robot_minutes() == run.robot_minutes()
    build_learner(config, run.directory).publish()
    assert build_actor(config, run.directory, robot).robot_seconds == pytest.approx(seconds)
    from_scratch = replace(config, algorithm=replace(config.algorithm, pretrained=False, acts="mean"))
    assert build_actor(from_scratch, run.directory, robot).robot_seconds == 0.0, "it has no clone that tried"


def test_what_a_person_discards_and_stops_costs_robot_time_too(tmp_path: Path) -> None:
    env, robot = lift(silent=True)
    person = Script(HANDS_OFF, OperatorInput(verdict=Verdict.DISCARD))
    with pytest.raises(DexloopError, match="10 episodes in a row were void, without a fault"):
        record_rollouts(PERSON, robot, [UP], tmp_path / "rollouts", PersonReward(), person)
    with pytest.raises(DexloopError, match="the operator stopped"):
        record_rollouts(PERSON, robot, [UP], tmp_path / "rollouts", PersonReward(), Script(OperatorInput(stop=True)))
    assert len(env.seeds) == 11 and rollout_seconds(tmp_path / "rollouts") == pytest.approx(11 * 2.0 + 10 * 0.1)
    assert rollout_seconds(tmp_path / "none") == 0.0


def test_a_robot_that_stays_broken_is_named_and_not_tried_for_ever(tmp_path: Path) -> None:
    env, robot = lift(broken=dict.fromkeys([*DEMOS, *ROLLOUTS], 1))
    with pytest.raises(DexloopError, match="10 episodes in a row were void, the last by a fault: watchdog"):
        record_demonstrations(SIMULATION, robot, PolicyOperator(GRASPED), tmp_path / "demos")
    with pytest.raises(DexloopError, match="10 episodes in a row were void"):
        record_rollouts(SIMULATION, robot, [UP], tmp_path / "rollouts", EnvironmentReward())
    assert len(env.seeds) == 20


def test_a_persons_word_alone_is_enough_where_it_is_the_reward(tmp_path: Path) -> None:
    _, robot = lift(silent=True)
    operator = Script(DRIVE, DRIVE, YES)
    with record_demonstrations(PERSON, robot, operator, tmp_path / "demos") as dataset:
        for index in dataset.episodes:
            episode = dataset.episode(index)
            assert episode.success and episode.true_success is None and episode.info["verdict"] == "success"
            assert [t.reward for t in episode.transitions] == [0.0, 1.0]


def test_the_simulations_word_does_not_count_where_a_persons_is_the_reward(tmp_path: Path) -> None:
    _, robot = lift()
    with pytest.raises(DexloopError, match="--reward person: --operator mine:make judged none of 10 attempts"):
        record_demonstrations(PERSON, robot, PolicyOperator(GRASPED), tmp_path / "demos")


def test_a_person_who_fails_often_is_not_taken_for_silent(tmp_path: Path) -> None:
    env, robot = lift(silent=True)
    with pytest.raises(DexloopError, match="attempts gave 0 demonstrations"):
        record_demonstrations(PERSON, robot, Script(DRIVE, NO), tmp_path / "demos")
    assert len(env.seeds) > 20


def test_a_person_judges_rollouts_without_touching_them(tmp_path: Path) -> None:
    _, robot = lift(silent=True)
    person = JudgingOperator(Script(DRIVE, DRIVE, YES))
    with record_rollouts(PERSON, robot, [UP], tmp_path / "rollouts", PersonReward(), person) as dataset:
        episode = dataset.episode(0)
    assert len(episode) == 2 and episode.success and episode.operator_steps == 0


def test_a_person_may_stop_the_rollouts(tmp_path: Path) -> None:
    _, robot = lift(silent=True)
    person = Script(HANDS_OFF, OperatorInput(stop=True))
    with pytest.raises(DexloopError, match="stopped after 0 of 3 rollouts"):
        record_rollouts(PERSON, robot, [UP], tmp_path / "rollouts", PersonReward(), person)


def test_every_second_rollout_is_clumsy_where_that_is_wanted(tmp_path: Path) -> None:
    _, robot = lift()
    record = replace(RECORD, rollouts=4, rollout_noise=0.8)
    smoke = replace(PRESETS["smoke"], observation="privileged", reward="simulation", record=record)
    config = replace(smoke, operator="tests.pipeline.test_record:make_policy", cloning=CloningConfig(updates=2))
    run = Run(RunDirectory(tmp_path / "run"), config, robot)
    run.record()
    run.pretrain()
    run.collect_rollouts()
    clone, rollouts = load_agent(run.directory.prior).agent, EpisodeDataset.open(run.directory.rollouts)
    spread = [
        np.std([np.arctanh(t.proposed) - np.arctanh(clone.act(t.observation, False).action) for t in episode])
        for episode in (rollouts.episode(index).transitions for index in rollouts.episodes)
    ]
    clumsy = [(seed - ROLLOUTS[0]) % 2 == 1 for seed in seeds(run.directory.rollouts)]
    assert [deviation > 0.4 for deviation in spread] == clumsy and set(clumsy) == {True, False}
    assert all(deviation < 0.2 for deviation, wild in zip(spread, clumsy, strict=True) if not wild)


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf")])
def test_noise_of_rollouts_that_cannot_be_meant_is_refused(noise: float) -> None:
    with pytest.raises(DexloopError, match="rollout-noise must be finite"):
        RecordConfig(rollout_noise=noise)
