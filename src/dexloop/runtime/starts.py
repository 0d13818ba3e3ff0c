"""Where online episodes begin: at new places, and again where earlier ones failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from dexloop.data.info import EpisodeInfo
from dexloop.types import Episode

_OWN = 1


class Starts:
    """The seed that an attempt's reset gets.

    What succeeded is learned from and what failed is not, so places where the policy fails stay as they are however
    often it comes by. A share of the attempts therefore begins where one failed, until one succeeds there
    (prioritized level replay, arXiv 2010.03934, with failure as the priority).
    """

    def __init__(
        self, seed_of: Callable[[int], int], retry_share: float = 0.0, past: Iterable[EpisodeInfo] = ()
    ) -> None:
        """seed_of: the seed of attempt number i: its exploration's, and at a new place its reset's too. past: valid
        episodes, the clone's rollouts among them, from before this process began, oldest first.
        """
        self.seed = seed_of
        self._retry_share = retry_share
        self._failed: list[int] = []
        for episode in past:
            self.note(episode)

    def note(self, episode: Episode | EpisodeInfo) -> None:
        """Note how a valid episode ended."""
        if episode.success and episode.reset_seed in self._failed:
            self._failed.remove(episode.reset_seed)
        if not episode.success and episode.reset_seed not in self._failed:
            self._failed.append(episode.reset_seed)

    def reset_seed(self, attempt: int) -> int:
        """The seed for the reset of attempt number ``attempt``, a function of it and of what failed so far."""
        seed = self.seed(attempt)
        # Not the numbers that the simulation draws from the same seed: new places must not depend on this choice.
        draw = np.random.default_rng((seed, _OWN))
        if not self._failed or draw.random() >= self._retry_share:
            return seed
        return self._failed[int(draw.integers(len(self._failed)))]
