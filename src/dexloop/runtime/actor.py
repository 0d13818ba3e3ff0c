"""The actor: runs episodes with the newest policy and sends them to the learner."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from dexloop.core import Gate, Operator, Policy, RewardModel, Robot
from dexloop.episode import run_episode
from dexloop.runtime.link import ActorSide
from dexloop.runtime.metrics import MetricsFile
from dexloop.types import Episode


class Actor:
    """One robot's side of online training; ``run_episode`` is one turn of it."""

    def __init__(
        self,
        robot: Robot,
        load_policy: Callable[[Path], tuple[Policy, int]],
        reward: RewardModel,
        gate: Gate,
        link: ActorSide,
        metrics: MetricsFile,
        seed_of: Callable[[int], int],
        operator: Operator | None = None,
        robot_seconds: float = 0.0,
        steps: int = 0,
    ) -> None:
        """load_policy: a policy file to the policy and its version (the critic updates behind it).

        seed_of: the seed of online episode number i. robot_seconds, steps: spent before this actor
        began, and control steps that the learner has had by then.
        """
        self._robot = robot
        self._load_policy = load_policy
        self._reward = reward
        self._gate = gate
        self._operator = operator
        self._link = link
        self._metrics = metrics
        self._seed_of = seed_of
        self._policy: Policy | None = None
        self._version = 0
        self.episodes = link.sent
        self.robot_seconds = robot_seconds
        self.steps = steps

    def run_episode(self) -> Episode:
        """Take the newest policy, run one episode with exploration, and send it."""
        policy = self._newest_policy()
        began = time.perf_counter()
        episode = run_episode(
            self._robot,
            policy,
            self._reward,
            self._gate,
            seed=self._seed_of(self.episodes),
            operator=self._operator,
            explore=True,
        )
        seconds = time.perf_counter() - began
        self.robot_seconds += episode.robot_seconds
        self.episodes += 1
        if episode.valid:
            self.steps += len(episode)
            self._link.send(episode)
        self._metrics.write(
            "episode",
            episode=self.episodes - 1,
            step=self.steps,
            success=episode.success,
            true_success=episode.true_success,
            length=len(episode),
            robot_minutes=self.robot_seconds / 60,
            operator_steps=episode.operator_steps,
            control_hz=len(episode) / max(seconds, 1e-9),
        )
        return episode

    def lead(self, updates_per_step: float) -> float:
        """By how many critic updates the steps taken are ahead of the newest policy."""
        self._newest_policy()
        return self.steps * updates_per_step - self._version

    def _newest_policy(self) -> Policy:
        newest = self._link.latest_policy()
        if newest is not None:
            self._policy, self._version = self._load_policy(newest)
        if self._policy is None:
            raise RuntimeError("no policy was published before the first episode")
        return self._policy
