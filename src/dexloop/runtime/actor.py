"""The actor: runs episodes with the newest policy and sends them to the learner."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dexloop.core import Gate, Listener, Operator, Policy, RewardModel, Robot
from dexloop.episode import VoidLimit, run_episode
from dexloop.errors import DexloopError
from dexloop.runtime.link import ActorSide
from dexloop.runtime.metrics import MetricsFile, read_metrics
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
        listeners: Sequence[Listener] = (),
        attempt: int | None = None,
        robot_seconds: float = 0.0,
        steps: int = 0,
    ) -> None:
        """load_policy: a policy file to the policy and its version (the critic updates behind it).

        seed_of: the seed of attempt number i. operator: who may take over. attempt: the first one of this
        actor, the number of episodes sent if None; void attempts have numbers too, so the two can differ.
        robot_seconds, steps: spent before this actor began, and control steps that the learner has had by then.
        """
        self._robot = robot
        self._load_policy = load_policy
        self._reward = reward
        self._gate = gate
        self._operator = operator
        self._listeners = listeners
        self._link = link
        self._metrics = metrics
        self._seed_of = seed_of
        self._policy: Policy | None = None
        self._version = 0
        self._limit = VoidLimit()
        self.episodes = link.sent
        self._attempt = self.episodes if attempt is None else attempt
        self.robot_seconds = robot_seconds
        self.steps = steps

    def run_episode(self) -> Episode:
        """Take the newest policy, run one episode with exploration, and send it if it is valid.

        A void episode costs robot time, and a line of its own in the metrics, but is none of the online episodes.
        Raises DexloopError when the operator stops and when several episodes in a row were void.
        """
        policy = self._newest_policy()
        self._robot.announce(self._version)
        began = time.perf_counter()
        episode = run_episode(
            self._robot,
            policy,
            self._reward,
            self._gate,
            seed=self._seed_of(self._attempt),
            operator=self._operator,
            listeners=self._listeners,
            explore=True,
        )
        seconds = time.perf_counter() - began
        self.robot_seconds += episode.robot_seconds
        self._attempt += 1
        if not episode.valid:
            self._note_void(episode)
            return episode
        self.steps += len(episode)
        self._link.send(episode)
        self.episodes += 1
        self._limit.check(episode)
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

    def _note_void(self, episode: Episode) -> None:
        self._metrics.write(
            "void",
            fault=episode.info.get("fault"),
            length=len(episode),
            robot_seconds=episode.robot_seconds,
            robot_minutes=self.robot_seconds / 60,
        )
        if episode.stop:
            raise DexloopError(
                f"the operator stopped after {self.episodes} online episodes; all of them are kept, the same command "
                "with --resume goes on"
            )
        self._limit.check(episode)

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


def void_seconds(metrics: Path) -> float:
    """Robot time [s] that void online episodes have cost; they are in no dataset, so the metrics tell."""
    return sum(record["robot_seconds"] for record in read_metrics(metrics) if record.get("kind") == "void")
