"""What makes reinforcement learning IBORL: a frozen teacher and a weight that knows when it is better.

Huang et al., "Dexterous Hand Manipulation via Efficient Imitation-Bootstrapped Online Reinforcement
Learning". Two slips of the paper are mended in both forms: Algorithm 1 adds the imitation loss to what
is maximised (its sign must be minus), and divides a sum over N/2 samples by N, so that its weight
would stop at one half (here it is the mean).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dexloop.data.replay import Batch
from dexloop.networks.critics import EnsembleCritic
from dexloop.networks.policies import GaussianPolicy


@dataclass(frozen=True, slots=True)
class RegulariserConfig:
    """alpha: weight of the imitation loss. objective: whether Q is scaled by 1 - lambda (Eq. 2) or not

    (Algorithm 1). floor: the least that lambda may be. confidence: by how many deviations over the
    critics the policy must be better than the teacher before it counts as better; None asks every
    critic on its own, as Eq. 3 does, and then the policy is soon preferred wherever the critics err.
    anchor: weight, beside alpha, of the distance to the teacher in online states, where the
    demonstrations say nothing.
    """

    alpha: float = 3.0
    objective: Literal["eq2", "algorithm1"] = "eq2"
    floor: float = 0.0
    confidence: float | None = None
    anchor: float = 0.0


class ImitationRegulariser:
    """Holds the policy to the demonstrations as far as the critics prefer the frozen teacher to it."""

    def __init__(self, teacher: GaussianPolicy, config: RegulariserConfig) -> None:
        self.teacher = teacher.requires_grad_(False)
        self.config = config

    @torch.no_grad()
    def weight(self, critic: EnsembleCritic, policy: GaussianPolicy, observation: Tensor) -> Tensor:
        """lambda (Eq. 3): how often, over online states and critics, Q(s, teacher) > Q(s, policy)."""
        teacher = critic(observation, self.teacher.mean(observation))
        learner = critic(observation, policy.mean(observation))
        if self.config.confidence is None:
            worse = teacher > learner
        else:
            gain = learner - teacher
            worse = gain.mean(0) < self.config.confidence * gain.std(0)
        return worse.float().mean().clamp(min=self.config.floor)

    def apply(
        self,
        value_loss: Tensor,
        critic: EnsembleCritic,
        policy: GaussianPolicy,
        online: Batch,
        demonstrations: Batch,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The actor's loss from ``value_loss`` (minus the mean Q), and the numbers worth plotting."""
        weight = self.weight(critic, policy, online.observation)
        error = policy.mean(demonstrations.observation) - demonstrations.action
        imitation = error.square().sum(-1).mean()
        if self.config.anchor > 0:
            seen = online.observation
            drift = (policy.mean(seen) - self.teacher.mean(seen).detach()).square().sum(-1).mean()
            imitation = imitation + self.config.anchor * drift
        scale = 1.0 - weight if self.config.objective == "eq2" else 1.0
        loss = scale * value_loss + self.config.alpha * weight * imitation
        return loss, {"bc_weight": weight, "bc_loss": imitation.detach()}
