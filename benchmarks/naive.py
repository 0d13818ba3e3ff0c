"""The actor-critic as one would first write it in PyTorch: what the fast one is measured against.

It computes what ``dexloop.algorithms.sac`` computes at |Z| = 2 and a learned temperature, but: critics are
a list that a loop goes through, all targets are computed before two of them are picked, the optimiser and
the target's average are the plain ones, and the replay is a list of transitions.
"""

from __future__ import annotations

import copy
import random

import torch
from torch import Tensor, nn

from dexloop.networks.policies import GaussianPolicy

Transition = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
_DISCOUNT = 0.97
_TARGET_RATE = 0.005


class LoopedCritics(nn.Module):
    """E independent Q(s, a) with LayerNorm, one after the other."""

    def __init__(self, observation_size: int, action_size: int, members: int = 10, width: int = 256) -> None:
        super().__init__()
        self.members = nn.ModuleList([_member(observation_size + action_size, width) for _ in range(members)])

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Q-values (E, B) for observation (B, D) and action (B, A)."""
        x = torch.cat([observation, action], -1)
        return torch.stack([member(x).squeeze(-1) for member in self.members])


def _member(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LayerNorm(width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.LayerNorm(width),
        nn.ReLU(),
        nn.Linear(width, 1),
    )


class ListReplay:
    """Transitions (observation, action, reward, next observation, continues) in a list."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []

    def sample(self, count: int) -> Transition:
        """A batch of each of the five, stacked."""
        drawn = [random.choice(self.transitions) for _ in range(count)]
        observation, action, reward, following, continues = zip(*drawn, strict=True)
        return (
            torch.stack(observation),
            torch.stack(action),
            torch.stack(reward),
            torch.stack(following),
            torch.stack(continues),
        )


class NaiveActorCritic:
    """Four critic updates and one of the actor an ``update``, half of each batch demonstrations."""

    def __init__(
        self,
        policy: GaussianPolicy,
        critics: LoopedCritics,
        online: ListReplay,
        demonstrations: ListReplay,
        *,
        action_size: int,
        batch: int = 256,
        subset: int = 2,
        critic_updates: int = 4,
    ) -> None:
        self.policy = policy
        self.critics = critics
        self.target = copy.deepcopy(critics)
        self.online = online
        self.demonstrations = demonstrations
        self.batch = batch
        self.subset = subset
        self.critic_updates = critic_updates
        self.log_temperature = torch.zeros((), requires_grad=True)
        self.target_entropy = -action_size / 2
        self.critic_optimizer = torch.optim.Adam(critics.parameters(), 3e-4)
        self.actor_optimizer = torch.optim.Adam(policy.parameters(), 3e-4)
        self.temperature_optimizer = torch.optim.Adam([self.log_temperature], 3e-4)

    def update(self) -> float:
        """Returns the actor's loss."""
        for _ in range(self.critic_updates):
            self._update_critics(*self._sample())
        return self._update_actor(self._sample()[0])

    def _sample(self) -> Transition:
        half = self.batch // 2
        a, b, c, d, e = zip(self.online.sample(half), self.demonstrations.sample(half), strict=True)
        return torch.cat(a), torch.cat(b), torch.cat(c), torch.cat(d), torch.cat(e)

    def _update_critics(
        self, observation: Tensor, action: Tensor, reward: Tensor, following: Tensor, continues: Tensor
    ) -> None:
        with torch.no_grad():
            next_action, _ = self.policy.sample(following)
            everyone = self.target(following, next_action)
            chosen = everyone[torch.randperm(len(everyone))[: self.subset]]
            target = reward + _DISCOUNT * continues * chosen.amin(0)
        loss = (self.critics(observation, action) - target).square().mean(1).sum()
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.critics.parameters(), strict=True):
                slow.copy_(_TARGET_RATE * fast + (1 - _TARGET_RATE) * slow)

    def _update_actor(self, observation: Tensor) -> float:
        action, log_prob = self.policy.sample(observation)
        temperature = self.log_temperature.exp()
        loss = (temperature.detach() * log_prob - self.critics(observation, action).amin(0)).mean()
        self.actor_optimizer.zero_grad()
        loss.backward()
        self.actor_optimizer.step()
        gap = -log_prob.detach().mean() - self.target_entropy
        self.temperature_optimizer.zero_grad()
        (temperature * gap).backward()
        self.temperature_optimizer.step()
        return float(loss.detach())
