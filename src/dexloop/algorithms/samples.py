"""From episodes to what learners sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from dexloop.core import RewardModel
from dexloop.data.replay import Replay
from dexloop.networks.latent import LatentEncoder
from dexloop.types import Episode, Observation, Step


def observations_of(episode: Episode) -> list[Observation]:
    """The T + 1 observations of an episode, the terminal one included."""
    steps = episode.transitions
    return [t.observation for t in steps] + [steps[-1].next_observation]


def until_success(episode: Episode) -> Episode:
    """The episode up to its first success, which ends it with reward 1; the tail recorded after is cut."""
    for index, transition in enumerate(episode.transitions):
        if transition.success:
            last = replace(transition, reward=1.0, terminated=True, truncated=False)
            return replace(episode, transitions=(*episode.transitions[:index], last))
    return episode


def judged_by(reward: RewardModel, episode: Episode) -> Episode:
    """The episode up to where ``reward`` sees success, so that all of a replay is judged alike.

    Where it sees none, the episode's own success stands: a person or the simulation has said so.
    """
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
            last = replace(transition, reward=1.0, success=True, terminated=True, truncated=False)
            before = [replace(t, reward=0.0, success=False) for t in episode.transitions[:index]]
            return replace(episode, transitions=(*before, last), success=True)
    return until_success(episode)


def add_episode(
    replay: Replay,
    latent: LatentEncoder,
    key: str,
    episode: Episode,
    *,
    demonstration: bool,
    online: bool,
) -> None:
    """Encode an episode, once, and store it."""
    steps = episode.transitions
    replay.add(
        key,
        latent.encode(observations_of(episode))[:, None],
        torch.from_numpy(np.stack([t.executed for t in steps])),
        torch.tensor([t.reward for t in steps], dtype=torch.float32),
        terminated=steps[-1].terminated,
        demonstration=demonstration,
        online=online,
    )
