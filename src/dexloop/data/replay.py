"""One ring of latent observations for online and demonstration data."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dexloop.data.rows import Rows
from dexloop.errors import DexloopError

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class ReplayConfig:
    """What is kept, and what a target is made of.

    capacity: rows (observations) kept. discount: gamma. n_step: steps summed in a target. memory: how many MiB of
    latents are held in memory; a replay that may grow larger maps them to a file in the run directory, from which
    sampling costs no more as long as the system has memory to spare. A row has 4 bytes an entry and crop, some 600
    bytes with two cameras. deadline_is_terminal: whether running out of time ends the return. Right where the
    remaining time is part of the observation (Pardo et al., arXiv 1712.00378), as it is for dexloop's robots; then
    values are bounded by what can still happen.
    """

    capacity: int = 200_000
    discount: float = 0.97
    n_step: int = 3
    deadline_is_terminal: bool = True
    memory: int = 256

    def __post_init__(self) -> None:
        """Raise DexloopError for a value that cannot be meant."""
        if self.capacity < 1 or self.n_step < 1:
            raise DexloopError(f"replay capacity and n-step must be at least 1, got {self.capacity} and {self.n_step}")
        if not 0.0 < self.discount <= 1.0:
            raise DexloopError(f"--algorithm.replay.discount must lie in (0, 1], got {self.discount}")
        if self.memory < 0:
            raise DexloopError(f"--algorithm.replay.memory must not be negative, got {self.memory}")


class Batch(NamedTuple):
    """Samples for an update.

    observation (B, D), action (B, A), commanded (B, A), reward (B,) summed over n steps, next_observation (B, D);
    action: what the robot did; commanded: what it was told to, of which its limits may have left less.
    discount (B,): gamma^k, zero where the return ends; outcome (B,): the discounted return that
    followed in fact, for plots of Q against it.
    """

    observation: Tensor
    action: Tensor
    commanded: Tensor
    reward: Tensor
    next_observation: Tensor
    discount: Tensor
    outcome: Tensor


@dataclass(slots=True)
class _Stored:
    start: int
    length: int
    demonstration: bool
    protected: bool


class Replay:
    """Episodes laid out row after row, each followed by its terminal observation.

    So the next observation of row i is row i + 1, whatever ended the episode, and an n-step target
    stops at the row that ``_end`` names. Demonstrations are never evicted; online episodes are, strictly
    the oldest first, when the ring is full.
    """

    def __init__(
        self,
        latent_size: int,
        action_size: int,
        config: ReplayConfig,
        *,
        crops: int = 1,
        seed: int = 0,
        spill: Path | None = None,
    ) -> None:
        """An empty replay.

        crops: augmented versions kept of each observation. spill: a folder for latents of more than ``config.memory``;
        without it they stay in memory. Raises DexloopError where it cannot be written to.
        """
        self.config = config
        rows = config.capacity
        large = 4 * rows * crops * latent_size > config.memory * _MIB
        self._rows = Rows((rows, crops, latent_size), spill if large else None)
        self._latents = torch.from_numpy(self._rows.array)
        self._actions = torch.zeros(rows, action_size)
        self._commanded = torch.zeros(rows, action_size)
        self._rewards = torch.zeros(rows)
        self._terminal = torch.zeros(rows, dtype=torch.bool)
        self._end = torch.zeros(rows, dtype=torch.int64)
        self._outcomes = torch.zeros(rows)
        self._episodes: OrderedDict[str, _Stored] = OrderedDict()
        self._online = torch.zeros(0, dtype=torch.int64)
        self._demonstrations = torch.zeros(0, dtype=torch.int64)
        self._head = 0
        self._generator = torch.Generator().manual_seed(seed)
        self._steps = torch.arange(config.n_step)
        self._powers = config.discount ** torch.arange(config.n_step + 1, dtype=torch.float32)

    @property
    def online_steps(self) -> int:
        """Online transitions that can be sampled."""
        return len(self._online)

    @property
    def demonstration_steps(self) -> int:
        """Demonstration transitions that can be sampled, copied successes included."""
        return len(self._demonstrations)

    def __contains__(self, key: str) -> bool:
        return key in self._episodes

    def generator_state(self) -> Tensor:
        """The state of the sampling order, for a checkpoint."""
        return self._generator.get_state()

    def set_generator_state(self, state: Tensor) -> None:
        """Undo ``generator_state``."""
        self._generator.set_state(state)

    def add(
        self,
        key: str,
        latents: Tensor,
        actions: Tensor,
        rewards: Tensor,
        *,
        terminated: bool,
        demonstration: bool,
        online: bool,
        commanded: Tensor | None = None,
    ) -> None:
        """Store an episode: latents (T + 1, crops, D), actions (T, A), rewards (T,).

        commanded (T, A): None where all of it was done.
        demonstration, online: which halves of a batch may draw from it (both for a copied success).
        Adding a key again changes nothing, so a message that comes twice does no harm. Raises
        DexloopError when the episode finds no room beside the demonstrations, or on the disk.
        """
        length = len(actions)
        if key in self._episodes:
            return
        if length + 1 > self.config.capacity:
            raise DexloopError(
                f"episode {key} of {length} steps exceeds --algorithm.replay.capacity {self.config.capacity}; raise it"
            )
        start = self._allocate(length + 1)
        end = start + length
        self._rows.write(start, latents.numpy())
        self._actions[start:end] = actions
        self._commanded[start:end] = actions if commanded is None else commanded
        self._end[start : end + 1] = end
        protected = demonstration and not online
        stored = self._episodes[key] = _Stored(start, length, demonstration, protected)
        self._judge(stored, rewards, terminated)
        self._index()

    def amend(self, key: str, rewards: Tensor, *, terminated: bool, demonstration: bool) -> None:
        """Give an online episode other rewards (T,) and another end; nothing where it is not here any more."""
        stored = self._episodes.get(key)
        if stored is None:
            return
        stored.demonstration = demonstration
        self._judge(stored, rewards, terminated)
        self._index()

    def sample(self, count: int, demonstrations: float = 0.5) -> Batch:
        """A batch of ``count``; the share ``demonstrations`` of it from the demonstration half."""
        from_demonstrations = round(count * demonstrations)
        if len(self._online) == 0:
            from_demonstrations = count
        elif len(self._demonstrations) == 0:
            from_demonstrations = 0
        halves = [
            self._draw(self._online, count - from_demonstrations),
            self._draw(self._demonstrations, from_demonstrations),
        ]
        return self._gather(torch.cat(halves))

    def _judge(self, stored: _Stored, rewards: Tensor, terminated: bool) -> None:
        start, end = stored.start, stored.start + stored.length
        self._rewards[start:end] = rewards
        self._terminal[start:end] = False
        self._terminal[end - 1] = terminated or self.config.deadline_is_terminal
        self._outcomes[start:end] = _returns(rewards, self.config.discount)

    def _draw(self, pool: Tensor, count: int) -> Tensor:
        if count == 0:
            return pool[:0]
        return pool[torch.randint(len(pool), (count,), generator=self._generator)]

    def _gather(self, rows: Tensor) -> Batch:
        ends = self._end[rows]
        ahead = rows[:, None] + self._steps
        inside = ahead < ends[:, None]
        rewards = self._rewards[torch.minimum(ahead, ends[:, None])] * inside * self._powers[:-1]
        following = torch.minimum(rows + self.config.n_step, ends)
        discount = self._powers[following - rows] * ~self._terminal[following - 1]
        return Batch(
            observation=self._crop(rows),
            action=self._actions.index_select(0, rows),
            commanded=self._commanded.index_select(0, rows),
            reward=rewards.sum(-1),
            next_observation=self._crop(following),
            discount=discount,
            outcome=self._outcomes[rows],
        )

    def _crop(self, rows: Tensor) -> Tensor:
        crops = self._latents.shape[1]
        flat = self._latents.view(-1, self._latents.shape[-1])
        if crops == 1:
            return flat.index_select(0, rows)
        chosen = torch.randint(crops, rows.shape, generator=self._generator)
        return flat.index_select(0, rows * crops + chosen)

    def _allocate(self, rows: int) -> int:
        """The first row of ``rows`` free ones in a run, evicting the oldest online episodes.

        The head goes round the ring, so online episodes lie behind it in the order of their age, the oldest next.
        Whatever it passes is evicted, also what it only skips on its way to a run that is long enough: so
        that order holds, and what is evicted is always the oldest.
        """
        start, passed = self._head, list[str]()
        for _ in range(2):
            while start + rows <= self.config.capacity:
                blocking = self._overlapping(start, start + rows)
                passed += [b for b in blocking if not self._episodes[b].protected]
                kept = [self._episodes[b] for b in blocking if self._episodes[b].protected]
                if not kept:
                    for key in set(passed):
                        del self._episodes[key]
                    self._head = start + rows
                    return start
                start = max(e.start + e.length + 1 for e in kept)
            passed += [b for b in self._overlapping(start, self.config.capacity) if not self._episodes[b].protected]
            start = 0
        raise DexloopError(
            f"the replay is full of demonstrations; raise --algorithm.replay.capacity {self.config.capacity}"
        )

    def _overlapping(self, start: int, stop: int) -> list[str]:
        return [k for k, e in self._episodes.items() if e.start < stop and start < e.start + e.length + 1]

    def _index(self) -> None:
        online = [e for e in self._episodes.values() if not e.protected]
        demonstrations = [e for e in self._episodes.values() if e.demonstration]
        self._online, self._demonstrations = _rows(online), _rows(demonstrations)


def _rows(episodes: list[_Stored]) -> Tensor:
    if not episodes:
        return torch.zeros(0, dtype=torch.int64)
    return torch.cat([torch.arange(e.start, e.start + e.length) for e in episodes])


def _returns(rewards: Tensor, discount: float) -> Tensor:
    returns: list[float] = []
    following = 0.0
    for reward in reversed(rewards.tolist()):
        following = reward + discount * following
        returns.append(following)
    return torch.tensor(returns[::-1])
