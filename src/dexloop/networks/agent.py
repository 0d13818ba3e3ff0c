"""A policy that acts: latent encoder and policy head behind ``dexloop.core.Policy``."""

from __future__ import annotations

import torch

from dexloop.networks.chooser import Chooser, PacedClone
from dexloop.networks.latent import LatentEncoder
from dexloop.networks.policies import PolicyHead, unsquash
from dexloop.types import Observation, Proposal


class Agent:
    """Acts with the head's mean, or with what a chooser takes; samples around it when exploring."""

    def __init__(self, latent: LatentEncoder, head: PolicyHead, chooser: Chooser | PacedClone | None = None) -> None:
        self.latent = latent
        self.head = head
        self.chooser = chooser
        self._critic = 0
        self._generator = torch.Generator()
        self._memory = latent.remember()

    def reset(self, seed: int) -> None:
        """Begin an episode; what is explored in it is a function of its seed."""
        self._memory = self.latent.remember()
        self._generator.manual_seed(seed)
        if self.chooser is not None:
            self._critic = int(torch.randint(self.chooser.critic.members, (), generator=self._generator))

    @torch.no_grad()
    def act(self, observation: Observation, explore: bool) -> Proposal:
        """The action (A,), or tanh of a draw around it; to be asked once at every step, also while others drive."""
        latent = self.latent.encode([observation], memory=self._memory)
        mean, log_deviation = self.head(latent)
        if self.chooser is not None:
            mean = unsquash(self.chooser.choose(latent, self.head, self._critic if explore else None))
        if explore:
            mean = mean + log_deviation.exp() * torch.randn(mean.shape, generator=self._generator)
        return Proposal(action=torch.tanh(mean)[0].numpy())
