"""Critics that choose among several proposals for the next action."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dexloop.networks.critics import EnsembleCritic
from dexloop.networks.policies import PolicyHead


class Chooser(nn.Module):
    """Takes what critics value most of all that the heads of a policy and of its teacher propose, their means included.

    Heads agree where demonstrations are dense. Where they do not, one of them is often right where their mean is not,
    and critics, which know what came of such places, can tell. Only what some head would do is ever taken, so critics
    cannot lead far from what is known. After IBRL (Hu et al., arXiv 2311.02198), which chooses between a policy and a
    clone.
    """

    def __init__(self, teacher: PolicyHead, critic: EnsembleCritic) -> None:
        super().__init__()
        self.teacher = teacher
        self.critic = critic

    @torch.no_grad()
    def choose(self, latent: Tensor, policy: PolicyHead, member: int | None = None) -> Tensor:
        """The best action (1, A) for latent (1, D).

        member: the critic that chooses; None for the least value that any of them gives. One critic for a whole
        episode, another in the next, tries out what critics do not agree on (bootstrapped DQN, arXiv 1602.04621).
        """
        actions = torch.cat([action for made in (policy, self.teacher) for action in _proposals(made, latent)])
        values = self.critic(latent.expand(len(actions), -1), actions)
        best = (values.amin(0) if member is None else values[member]).argmax()
        return actions[best][None]


def _proposals(policy: PolicyHead, latent: Tensor) -> list[Tensor]:
    each = [head.mean(latent) for head in policy.heads]
    return each if len(each) == 1 else [*each, torch.stack(each).mean(0)]
