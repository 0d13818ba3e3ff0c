"""Critics that choose among several proposals for the next action."""

from __future__ import annotations

from collections.abc import Sequence

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

    speedup: factors (A,), above 1 where an action is a velocity and 1 elsewhere, or empty. Exploring, each proposal is
    offered a second time, multiplied with them: the same way, faster. Demonstrators are slow for reasons that a policy
    does not have, and noise, which goes every way, hardly ever shows it. What succeeded faster is imitated, and so
    proposed; not exploring, critics are not asked about what is faster still, since they think too well of it.
    """

    def __init__(self, teacher: PolicyHead, critic: EnsembleCritic, speedup: Sequence[float] = ()) -> None:
        super().__init__()
        self.teacher = teacher
        self.critic = critic
        self.speedup = torch.tensor(speedup) if speedup else None

    @torch.no_grad()
    def choose(self, latent: Tensor, policy: PolicyHead, member: int | None = None) -> Tensor:
        """The best action (1, A) for latent (1, D).

        member: the critic that chooses, exploring; None for the least value that any of them gives. One critic for a
        whole episode, another in the next, tries out what critics do not agree on (bootstrapped DQN, arXiv 1602.04621).
        """
        actions = torch.cat([action for made in (policy, self.teacher) for action in _proposals(made, latent)])
        if self.speedup is not None and member is not None:
            actions = torch.cat([actions, (actions * self.speedup).clamp(-1.0, 1.0)])
        values = self.critic(latent.expand(len(actions), -1), actions)
        best = (values.amin(0) if member is None else values[member]).argmax()
        return actions[best][None]


class PacedClone(nn.Module):
    """Takes what critics value most of all that a clone's heads propose, their mean included, at several paces.

    The policy stays that clone. What its heads do is what succeeded, and what critics add is when to follow which of
    them and how fast. That is one step of improvement over the clone, which cannot forget what the clone can (cf.
    Brandfonbrener et al., arXiv 2106.08909).

    paces: factors (A,) for each, above 1 where an action is a velocity and 1 elsewhere; the first is the usual one.
    caution: standard deviations over critics by which what they promise must exceed what is usual.
    """

    def __init__(self, critic: EnsembleCritic, paces: Sequence[Sequence[float]], caution: float) -> None:
        super().__init__()
        self.critic = critic
        self.paces = torch.tensor(paces)
        self.caution = caution

    @torch.no_grad()
    def choose(self, latent: Tensor, policy: PolicyHead, member: int | None = None) -> Tensor:
        """The best action (1, A) for latent (1, D); member as of ``Chooser``.

        None for the mean advantage over the policy's mean at the usual pace, less ``caution`` times its standard
        deviation over critics: that stays what is done unless they agree on something better.
        """
        each = torch.cat(_proposals(policy, latent))
        actions = (each * self.paces[:, None]).clamp(-1.0, 1.0).flatten(0, 1)
        values = self.critic(latent.expand(len(actions), -1), actions)
        if member is not None:
            return actions[values[member].argmax()][None]
        advantage = values - values[:, len(each) - 1, None]
        disagreement = advantage.std(0, correction=min(1, len(values) - 1))
        return actions[(advantage.mean(0) - self.caution * disagreement).argmax()][None]


def _proposals(policy: PolicyHead, latent: Tensor) -> list[Tensor]:
    each = [head.mean(latent) for head in policy.heads]
    return each if len(each) == 1 else [*each, torch.stack(each).mean(0)]
