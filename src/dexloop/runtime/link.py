"""Between actor and learner on one machine: the run directory itself.

Episodes cross as the actor's dataset, which is durable before the learner hears of it; policies cross
as one file that is replaced whole. Either process may be killed at any moment and started again: what
was sent is still there, and receiving it twice does no harm, as every episode has its key.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dexloop.data.dataset import EpisodeDataset
from dexloop.data.files import write_file
from dexloop.types import Episode


class ActorSide:
    """The actor's end: sends finished episodes, takes the newest policy."""

    def __init__(self, episodes: EpisodeDataset, policy_file: Path) -> None:
        self.episodes = episodes
        self._policy_file = policy_file
        self._seen: tuple[int, int] | None = None

    @property
    def sent(self) -> int:
        """Episodes sent so far, earlier sessions' included."""
        return max(self.episodes.episodes, default=-1) + 1

    def send(self, episode: Episode) -> None:
        """Store an episode; it is on the disk when this returns."""
        self.episodes.append(episode)

    def latest_policy(self) -> Path | None:
        """The policy file if it is newer than at the last call, else None."""
        stamp = _stamp(self._policy_file)
        if stamp is None or stamp == self._seen:
            return None
        self._seen = stamp
        return self._policy_file


class LearnerSide:
    """The learner's end: receives episodes it has not had, publishes policies."""

    def __init__(self, episodes: Path, policy_file: Path) -> None:
        self._path = episodes
        self._policy_file = policy_file
        self._verdicts: dict[int, bool] = {}
        self._seen: tuple[int, int] | None = None

    def receive(self) -> Iterator[tuple[int, Episode]]:
        """Episodes that are new since the last call or have another verdict since, with their index.

        Their images are decoded only when one of them is looked at.
        """
        # The dataset rewrites this file with every change, so a look at it spares opening the rest.
        stamp = _stamp(self._path / "meta" / "info.json")
        if stamp is None or stamp == self._seen:
            return
        dataset = EpisodeDataset.open(self._path)
        for index in dataset.episodes:
            verdict = dataset.episode_info(index).success
            if self._verdicts.get(index) is not verdict:
                yield index, dataset.episode(index, late=True)
                self._verdicts[index] = verdict
        self._seen = stamp

    def publish(self, policy: bytes) -> None:
        """Replace the policy that the actor will take next."""
        write_file(self._policy_file, policy)


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes whenever the file is replaced, None while there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    # The inode changes with every replacement, also within the clock's resolution.
    return status.st_mtime_ns, status.st_ino
