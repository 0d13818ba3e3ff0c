"""From episodes to what learners sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dexloop.core import RewardModel
from dexloop.data.replay import Replay
from dexloop.types import Episode, Observation, Step


def observations_of(episode: Episode) -> list[Observation]:
    """The T + 1 observations of an episode, the terminal one included."""
    steps = episode.transitions
    return [t.observation for t in steps] + [steps[-1].next_observation]


def first_success(episode: Episode) -> int | None:
    """The step at which the episode first succeeded in its own words, None if it never did."""
    return next((index for index, t in enumerate(episode.transitions) if t.success), None)


def success_seen_by(reward: RewardModel, episode: Episode) -> int | None:
    """The step at which ``reward`` first sees success, None if it never does."""
    reward.reset()
    for index, transition in enumerate(episode.transitions):
        step = Step(
            observation=transition.next_observation,
            executed=transition.executed,
            reward=transition.reward,
            terminated=transition.terminated,
            truncated=transition.truncated,
            success=transition.true_success,
        )
        if reward.judge(transition.observation, step).success:
            return index
    return None


def until_success(episode: Episode, seen: int | None = None) -> Episode:
    """The episode up to its success, which ends it with reward 1 and is the only reward; the tail after it is cut.

    seen: the step at which a reward model sees success. Where it sees none, the episode's own first success stands: a
    person or the simulation has said so. Without either the episode stays as it is.
    """
    index = first_success(episode) if seen is None else seen
    if index is None:
        return episode
    last = replace(episode.transitions[index], reward=1.0, success=True, terminated=True, truncated=False)
    before = [replace(t, reward=0.0, success=False) for t in episode.transitions[:index]]
    return replace(episode, transitions=(*before, last), success=True)


def rewards_of(episode: Episode) -> Tensor:
    """The rewards (T,)."""
    return torch.tensor([t.reward for t in episode.transitions], dtype=torch.float32)


def add_episode(
    replay: Replay,
    key: str,
    episode: Episode,
    latents: Tensor,
    *,
    demonstration: bool,
    online: bool,
) -> None:
    """Store an episode whose latents (T + 1, crops, D) are known."""
    steps = episode.transitions
    executed = np.stack([t.executed for t in steps])
    driven = np.stack([t.control for t in steps])
    commanded = np.where(driven, executed, np.stack([t.proposed for t in steps]))
    replay.add(
        key,
        latents,
        torch.from_numpy(executed),
        rewards_of(episode),
        commanded=torch.from_numpy(commanded),
        terminated=steps[-1].terminated,
        demonstration=demonstration,
        online=online,
    )
