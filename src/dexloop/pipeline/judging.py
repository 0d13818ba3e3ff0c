"""A run's stored episodes as its reward sees them, so that all that is learned from them is judged alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dexloop.algorithms.samples import success_seen_by, until_success
from dexloop.config import RunConfig
from dexloop.core import RewardModel
from dexloop.data.dataset import EpisodeDataset
from dexloop.data.features import KeptFeatures
from dexloop.pipeline.robots import debounce_window, training_reward
from dexloop.runtime.run_directory import RunDirectory
from dexloop.types import Episode, RobotSpec


class StoredJudge:
    """Cuts stored episodes at the success that the run's reward sees in them, and keeps its verdicts.

    kept: the cache of the classifier's verdicts; None where no classifier judges, since any other reward is stored with
    the episode.
    """

    def __init__(self, config: RunConfig, run: RunDirectory, spec: RobotSpec) -> None:
        self.kept = _kept_verdicts(config, run, spec)
        self._reward: RewardModel = training_reward(config, run, spec)

    def episodes(self, path: Path) -> Iterator[tuple[str, Episode]]:
        """The readable episodes of a dataset with their keys, judged, one at a time; none if there is no dataset."""
        if path.is_dir():
            dataset = EpisodeDataset.open(path)
            for index in dataset.episodes:
                key = f"{path.name}/{index}"
                yield key, self._judged(key, dataset.episode(index, late=True))

    def _judged(self, key: str, episode: Episode) -> Episode:
        # Verdicts of before are step numbers, -1 for never.
        found = None if self.kept is None else self.kept.read(key, episode)
        if found is not None and found.shape == () and found < len(episode):
            return until_success(episode, int(found) if found >= 0 else None)
        seen = success_seen_by(self._reward, episode)
        if self.kept is not None:
            self.kept.write(key, episode, np.array(-1 if seen is None else seen))
        return until_success(episode, seen)


def _kept_verdicts(config: RunConfig, run: RunDirectory, spec: RobotSpec) -> KeptFeatures | None:
    if config.reward != "classifier":
        return None
    debounce = (debounce_window(config, spec), config.classifier.hits)
    digest = hashlib.sha256(run.classifier.read_bytes() + repr(debounce).encode()).hexdigest()
    return KeptFeatures(run.features, f"verdicts-{digest[:16]}")
