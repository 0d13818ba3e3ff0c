"""A policy that acts: latent encoder and policy head behind ``dexloop.core.Policy``."""

from __future__ import annotations

import torch

from dexloop.networks.latent import LatentEncoder
from dexloop.networks.policies import PolicyHead
from dexloop.types import Observation, Proposal


class Agent:
    """Acts with the head's mean, or samples around it when exploring."""

    def __init__(self, latent: LatentEncoder, head: PolicyHead) -> None:
        self.latent = latent
        self.head = head
        self._generator = torch.Generator()

    def reset(self, seed: int) -> None:
        """Exploration noise is a function of the episode's seed."""
        self._generator.manual_seed(seed)

    @torch.no_grad()
    def act(self, observation: Observation, explore: bool) -> Proposal:
        """The mean action (A,), or tanh of a draw around it."""
        mean, log_deviation = self.head(self.latent.encode([observation]))
        if explore:
            mean = mean + log_deviation.exp() * torch.randn(mean.shape, generator=self._generator)
        return Proposal(action=torch.tanh(mean)[0].numpy())
