"""The learner's loop: take in episodes, update at the allowed pace, publish, checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dexloop.errors import DexloopError
from dexloop.runtime.checkpoint import load_checkpoint, save_checkpoint
from dexloop.runtime.link import LearnerSide
from dexloop.runtime.metrics import MetricsFile
from dexloop.types import Episode


class Learner(Protocol):
    """What the loop needs of an algorithm."""

    online_steps: int

    @property
    def updates(self) -> int: ...
    def add(self, key: str, episode: Episode) -> None: ...
    def update(self) -> Mapping[str, float]: ...
    def policy(self, version: int) -> bytes: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class PaceConfig:
    """How much is learned for how much is done, so that a run does not depend on which process was faster.

    updates_per_step: critic updates allowed for each online step. publish_every, log_every, checkpoint_every: in
    critic updates.
    """

    updates_per_step: float = 1.0
    publish_every: int = 100
    log_every: int = 200
    checkpoint_every: int = 5_000


class LearnerLoop:
    """Drives a learner; the synchronous runtime and the learner process take turns of the same loop."""

    def __init__(
        self,
        learner: Learner,
        link: LearnerSide,
        checkpoints: Path,
        metrics: MetricsFile,
        pace: PaceConfig,
    ) -> None:
        self._learner = learner
        self._link = link
        self._checkpoints = checkpoints
        self._metrics = metrics
        self._pace = pace
        self._busy = 0.0
        self._counted = 0
        self._marks = {"publish": 0, "log": 0, "checkpoint": 0}
        self._finite = True

    @property
    def allowance(self) -> int:
        """Critic updates that the steps taken so far still allow."""
        return int(self._learner.online_steps * self._pace.updates_per_step) - self._learner.updates

    def resume(self) -> list[str]:
        """Continue from the newest sound checkpoint if there is one; what was wrong with others.

        Raises DexloopError where it is of other networks than this learner has.
        """
        state, troubles = load_checkpoint(self._checkpoints)
        if state is not None:
            try:
                self._learner.load_state_dict(state)
            except (KeyError, RuntimeError, ValueError) as error:
                why = str(error).splitlines()[0]
                raise DexloopError(
                    f"{self._checkpoints} does not fit this run's settings or clone ({why}); remove it to learn anew "
                    "from the episodes that are stored"
                ) from error
        self._marks = dict.fromkeys(self._marks, self._learner.updates)
        return troubles

    def receive(self) -> int:
        """Take in new episodes; how many there were."""
        count = 0
        for index, episode in self._link.receive():
            self._learner.add(f"episodes/{index}", episode)
            count += 1
        return count

    def publish(self) -> None:
        """Hand the present policy to the actor."""
        self._link.publish(self._learner.policy(self._learner.updates))
        self._marks["publish"] = self._learner.updates

    def publish_if_new(self) -> None:
        """Publish unless the newest policy is out already."""
        if self._learner.updates > self._marks["publish"]:
            self.publish()

    def checkpoint(self) -> None:
        """Write a checkpoint now, unless what was learned is no numbers any more."""
        if self._finite:
            save_checkpoint(self._checkpoints, self._learner.updates, self._learner.state_dict())

    def turn(self, seconds: float = float("inf")) -> bool:
        """Update while the pace allows it, for at most ``seconds``; whether anything was done."""
        until = time.perf_counter() + seconds
        worked = False
        while self.allowance > 0 and time.perf_counter() < until:
            began, before = time.perf_counter(), self._learner.updates
            metrics = self._learner.update()
            self._busy += time.perf_counter() - began
            self._counted += self._learner.updates - before
            worked = True
            if self._due("log", self._pace.log_every):
                rate = self._counted / max(self._busy, 1e-9)
                self._busy, self._counted = 0.0, 0
                self._metrics.write(
                    "update",
                    updates=self._learner.updates,
                    step=self._learner.online_steps,
                    updates_per_second=rate,
                    **metrics,
                )
                self._require_finite(metrics)
            if self._due("publish", self._pace.publish_every):
                self.publish()
            if self._due("checkpoint", self._pace.checkpoint_every):
                self.checkpoint()
        return worked

    def _require_finite(self, metrics: Mapping[str, float]) -> None:
        broken = [name for name, value in metrics.items() if name.endswith("loss") and not math.isfinite(value)]
        if broken:
            self._finite = False
            raise DexloopError(
                f"{', '.join(broken)} is not finite after {self._learner.updates} critic updates; the checkpoints in "
                f"{self._checkpoints} are of before. A smaller --algorithm.learner.learning-rate may help"
            )

    def _due(self, what: str, every: int) -> bool:
        if self._learner.updates - self._marks[what] < every:
            return False
        self._marks[what] = self._learner.updates
        return True
