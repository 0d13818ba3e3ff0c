"""A listener that keeps every finished episode on disk."""

from __future__ import annotations

from dexloop.data.dataset import EpisodeDataset
from dexloop.types import Episode, Transition


class Recorder:
    """Appends valid, non-empty episodes to a dataset as they end.

    last_index: the number of the episode stored last, None before the first; what a verdict that
    comes later is for.
    """

    def __init__(self, dataset: EpisodeDataset) -> None:
        self._dataset = dataset
        self.last_index: int | None = None

    def on_step(self, transition: Transition) -> None:
        """Nothing: an episode is stored whole, when it ends."""

    def on_episode(self, episode: Episode) -> None:
        if episode.valid and len(episode) > 0:
            self.last_index = self._dataset.append(episode)
