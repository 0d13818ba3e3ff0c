"""Evaluate a policy: N trials on test seeds, without exploration, judged by whoever knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from dexloop.config import RunConfig
from dexloop.core import Operator, Policy, RewardModel, Robot
from dexloop.data.dataset import EpisodeDataset
from dexloop.episode import VoidLimit, run_episode
from dexloop.errors import DexloopError
from dexloop.gates.human import HumanGate
from dexloop.pipeline.operators import opened_judge
from dexloop.pipeline.robots import training_reward
from dexloop.progress import Bar, say
from dexloop.report.statistics import wilson_interval
from dexloop.rewards.environment import EnvironmentReward
from dexloop.rewards.person import PersonReward
from dexloop.runtime.run_directory import RunDirectory
from dexloop.seeds import Purpose, episode_seed
from dexloop.types import Episode, Judgement, Observation, Step

JudgedBy = Literal["simulation", "classifier", "person"]
"""Who decides what success is: the environment (simulation), the reward classifier, or the operator."""


class JudgeWithWitness:
    """A reward model's verdict, while a second one watches; they may disagree."""

    def __init__(self, judge: RewardModel, witness: RewardModel | None) -> None:
        self._judge = judge
        self._witness = witness
        self.witness_fired = False

    def reset(self) -> None:
        """Begin an episode."""
        self.witness_fired = False
        self._judge.reset()
        if self._witness is not None:
            self._witness.reset()

    def judge(self, observation: Observation, step: Step) -> Judgement:
        """The judge's verdict; what the witness says is only remembered."""
        if self._witness is not None:
            self.witness_fired |= self._witness.judge(observation, step).success
        return self._judge.judge(observation, step)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What trials of one policy gave; mean_steps: of the successful ones, None without any.

    classifier_disagreement: share of the trials in which the reward classifier had not the same
    verdict as the environment, None unless the environment judged beside a classifier. faults: trials
    that a fault ended; they count as failures. judged_by: who decided what success is.
    """

    trials: int
    successes: int
    success_rate: float
    ci95: tuple[float, float]
    mean_steps: float | None
    classifier_disagreement: float | None
    wall_seconds: float
    steps: tuple[int | None, ...]
    faults: int = 0
    judged_by: JudgedBy = "simulation"


class BrokenOff(DexloopError):
    """Trials that cannot go on: the person stopped, or a fault stays. done: what the finished ones gave."""

    def __init__(self, why: str, done: Evaluation) -> None:
        super().__init__(why)
        self.done = done


def evaluate_in_run(
    config: RunConfig,
    run: RunDirectory,
    robot: Robot,
    policy: Policy,
    name: str,
    judged_by: JudgedBy,
    earlier: Evaluation | None = None,
    keep: Callable[[Evaluation], None] | None = None,
) -> Evaluation:
    """The configured number of trials of ``policy``, with the classifier of this run; as ``evaluate_policy``.

    Raises DexloopError where the classifier is to judge and the run has none.
    """
    classifier = None
    if "classifier" in (judged_by, config.reward) and run.classifier.is_file():
        classifier = training_reward(replace(config, reward="classifier"), run, robot.spec)
    if judged_by == "classifier" and classifier is None:
        raise DexloopError(f"--judge classifier: {run.root} has none; give --judge person")
    with opened_judge(config, robot.spec) if judged_by == "person" else nullcontext() as person:
        return evaluate_policy(
            config,
            robot,
            policy,
            config.trials,
            judged_by=judged_by,
            classifier=classifier,
            person=person,
            earlier=earlier,
            keep=keep,
            label=f"evaluate {name}",
        )


def who_judges(config: RunConfig, run: RunDirectory) -> JudgedBy:
    """Who says whether a trial of this run succeeded.

    The simulation where it has ever said so of a demonstration, or is the reward; else the classifier, once there is
    one; else a person, who judges everything where a person's verdicts are the reward.
    """
    if config.reward == "person":
        return "person"
    if config.reward == "simulation" or demonstrations_judged_by(EpisodeDataset.open(run.demos)) == "simulation":
        return "simulation"
    return "classifier" if run.classifier.is_file() else "person"


def demonstrations_judged_by(dataset: EpisodeDataset) -> JudgedBy:
    """Who decided that these demonstrations succeeded: a person where each was ended by a verdict alone."""
    infos = [dataset.episode_info(index) for index in dataset.episodes]
    silent = all(info.true_success is None and (not info.success or "verdict" in info.info) for info in infos)
    return "person" if silent else "simulation"


def evaluate_policy(
    config: RunConfig,
    robot: Robot,
    policy: Policy,
    trials: int,
    *,
    purpose: Purpose = Purpose.TEST,
    judged_by: JudgedBy = "simulation",
    classifier: RewardModel | None = None,
    person: Operator | None = None,
    earlier: Evaluation | None = None,
    keep: Callable[[Evaluation], None] | None = None,
    label: str = "evaluation",
) -> Evaluation:
    """Run ``trials`` episodes and count.

    classifier: needed where it judges; where the simulation does it only watches. person: needed where they judge; a
    trial that they discard is done again, and one without their verdict has failed. earlier: the first of these trials,
    where they are done already. keep: is given the finished trials after each one that no fault ended.
    A trial that a fault ended counts as failed. Raises BrokenOff when several trials in a row were void and when
    the person stops, and ValueError where the judge is missing. What was void in the end is none of the finished
    trials: a robot that stays broken says nothing of the policy.
    """
    began = time.perf_counter()
    reward = _reward(judged_by, classifier, person)
    witnessed = judged_by == "simulation" and classifier is not None
    behind = earlier or summarise((), 0.0)
    done: list[_Trial] = []
    silent = judged_by == "simulation" and behind.successes == 0
    limit = VoidLimit()
    # A second after success lets the classifier's debounce finish; it does not change the verdict.
    tail = round(robot.spec.control_hz) if witnessed else 0

    def counted() -> Evaluation:
        disagreements = round((behind.classifier_disagreement or 0.0) * behind.trials) + sum(t.disputed for t in done)
        return summarise(
            (*behind.steps, *(t.steps for t in done)),
            behind.wall_seconds + time.perf_counter() - began,
            disagreements / max(behind.trials + len(done), 1) if witnessed else None,
            faults=behind.faults + sum(t.fault for t in done),
            judged_by=judged_by,
        )

    with Bar(label, trials, "trials") as bar:
        while (index := behind.trials + len(done)) < trials:
            episode = run_episode(
                robot,
                policy,
                reward,
                HumanGate(),
                seed=episode_seed(purpose, config.seed, index),
                operator=person if judged_by == "person" else None,
                tail_steps=tail,
            )
            if episode.stop:
                raise BrokenOff(f"{label}: stopped after {index} of {trials} trials", counted())
            trouble = limit.trouble(episode)
            if trouble is not None:
                while done and done[-1].fault:
                    done.pop()
                found = counted()
                raise BrokenOff(f"{label}: {trouble}, after {found.trials} of {trials} trials; see to the robot", found)
            fault = "fault" in episode.info
            if not (episode.valid or fault):
                continue
            done.append(_Trial(steps_to_success(episode), fault, reward.witness_fired != episode.success))
            silent = silent and episode.true_success is None and not episode.success
            found = counted()
            if keep is not None and not fault:
                keep(found)
            bar.update(found.trials, f"success {found.successes}/{found.trials}, judged by the {judged_by}")
    if silent:
        say(f"warning: {robot.spec.name} never said whether a trial succeeded; no success may mean no judge")
    return counted()


class _Trial(NamedTuple):
    """steps: to success, None without it. disputed: whether the witness saw it otherwise."""

    steps: int | None
    fault: bool
    disputed: bool


def _reward(judged_by: JudgedBy, classifier: RewardModel | None, person: Operator | None) -> JudgeWithWitness:
    if judged_by == "simulation":
        return JudgeWithWitness(EnvironmentReward(), classifier)
    if judged_by == "person" and person is not None:
        return JudgeWithWitness(PersonReward(), None)
    if judged_by == "classifier" and classifier is not None:
        return JudgeWithWitness(classifier, None)
    raise ValueError(f"evaluate_policy: trials are to be judged by a {judged_by}, but none was given")


def steps_to_success(episode: Episode) -> int | None:
    """Control steps until the first success, None if it never came or the episode's verdict is another."""
    if not episode.success:
        return None
    return next((i + 1 for i, t in enumerate(episode.transitions) if t.success), None)


def summarise(
    steps: Sequence[int | None],
    wall_seconds: float,
    disagreement: float | None = None,
    *,
    faults: int = 0,
    judged_by: JudgedBy = "simulation",
) -> Evaluation:
    """Count the trials."""
    done = [s for s in steps if s is not None]
    return Evaluation(
        trials=len(steps),
        successes=len(done),
        success_rate=len(done) / max(len(steps), 1),
        ci95=wilson_interval(len(done), len(steps)),
        mean_steps=float(np.mean(done)) if done else None,
        classifier_disagreement=disagreement,
        wall_seconds=wall_seconds,
        steps=tuple(steps),
        faults=faults,
        judged_by=judged_by,
    )
