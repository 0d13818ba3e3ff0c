"""Evaluate a policy: N trials on test seeds, acting on the mean, judged by the environment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dexloop.config import RunConfig
from dexloop.core import Policy, RewardModel, Robot
from dexloop.episode import run_episode
from dexloop.gates.human import HumanGate
from dexloop.progress import Bar
from dexloop.report.statistics import wilson_interval
from dexloop.rewards.environment import EnvironmentReward
from dexloop.seeds import Purpose, episode_seed
from dexloop.types import Episode, Judgement, Observation, Step


class JudgeWithWitness:
    """The environment's reward, while a second reward model watches; they may disagree."""

    def __init__(self, witness: RewardModel | None) -> None:
        self._judge = EnvironmentReward()
        self._witness = witness
        self.witness_fired = False

    def reset(self) -> None:
        """Begin an episode."""
        self.witness_fired = False
        self._judge.reset()
        if self._witness is not None:
            self._witness.reset()

    def judge(self, observation: Observation, step: Step) -> Judgement:
        """The environment's verdict; what the witness says is only remembered."""
        if self._witness is not None:
            self.witness_fired |= self._witness.judge(observation, step).success
        return self._judge.judge(observation, step)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What trials of one policy gave; mean_steps: of the successful ones, None without any.

    classifier_disagreement: share of the trials in which the reward classifier had not the same
    verdict as the environment, None without a classifier.
    """

    trials: int
    successes: int
    success_rate: float
    ci95: tuple[float, float]
    mean_steps: float | None
    classifier_disagreement: float | None
    wall_seconds: float
    steps: tuple[int | None, ...]


def evaluate_policy(
    config: RunConfig,
    robot: Robot,
    policy: Policy,
    trials: int,
    *,
    purpose: Purpose = Purpose.TEST,
    witness: RewardModel | None = None,
    label: str = "evaluation",
) -> Evaluation:
    """Run ``trials`` episodes and count."""
    began = time.perf_counter()
    reward = JudgeWithWitness(witness)
    steps: list[int | None] = []
    disagreements = 0
    # A second after success lets the classifier's debounce finish; it does not change the verdict.
    tail = round(robot.spec.control_hz) if witness is not None else 0
    with Bar(label, trials, "trials") as bar:
        for trial in range(trials):
            episode = run_episode(
                robot,
                policy,
                reward,
                HumanGate(),
                seed=episode_seed(purpose, config.seed, trial),
                tail_steps=tail,
            )
            steps.append(steps_to_success(episode))
            disagreements += reward.witness_fired != episode.success
            done = sum(s is not None for s in steps)
            bar.update(trial + 1, f"success {done}/{trial + 1}")
    return summarise(
        steps,
        time.perf_counter() - began,
        disagreements / trials if witness is not None else None,
    )


def steps_to_success(episode: Episode) -> int | None:
    """Control steps until the first success, None if it never came."""
    return next((i + 1 for i, t in enumerate(episode.transitions) if t.success), None)


def summarise(steps: Sequence[int | None], wall_seconds: float, disagreement: float | None = None) -> Evaluation:
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
    )
