"""What makes reinforcement learning IBORL: a frozen teacher and a weight that knows when it is better.

Huang et al., "Dexterous Hand Manipulation via Efficient Imitation-Bootstrapped Online Reinforcement Learning", arXiv
2503.04014. Two slips of the paper are mended in both forms: Algorithm 1 adds the imitation loss to what is maximised
(its sign must be minus), and divides a sum over N/2 samples by N, so that its weight would stop at one half (here it is
the mean).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dexloop.networks.policies import PolicyHead


@dataclass(frozen=True, slots=True)
class RegulariserConfig:
    """alpha: weight of the imitation loss.

    objective: whether Q is scaled by 1 - lambda (Eq. 2) or not (Algorithm 1).
    """

    alpha: float = 3.0
    objective: Literal["eq2", "algorithm1"] = "eq2"


class ImitationRegulariser:
    """Holds the policy to the demonstrations as far as the critics prefer the frozen teacher to it."""

    def __init__(self, teacher: PolicyHead, config: RegulariserConfig) -> None:
        self.teacher = teacher.requires_grad_(False)
        self.config = config

    @torch.no_grad()
    def weight(self, values: Callable[[Tensor], Tensor], teacher: Tensor, learner: Tensor) -> Tensor:
        """lambda (Eq. 3): how often, over online states and critics, Q(s, teacher) > Q(s, policy).

        values: Q-values (E, B) in these states of actions (B, A), the teacher's and the policy's.
        """
        return (values(teacher) > values(learner)).float().mean()

    def apply(
        self,
        value_loss: Tensor,
        values: Callable[[Tensor], Tensor],
        observation: Tensor,
        action: Tensor,
        imitation: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The actor's loss from ``value_loss`` (minus the mean Q), and the numbers worth plotting.

        values: Q-values (E, B) of actions (B, A) in the online states, of which ``observation`` (B, D) and the
        policy's mean ``action`` (B, A) are. imitation: the policy's mean error on demonstrations, to be made small.
        """
        weight = self.weight(values, self.teacher.mean(observation), action)
        scale = 1.0 - weight if self.config.objective == "eq2" else 1.0
        loss = scale * value_loss + self.config.alpha * weight * imitation
        return loss, {"bc_weight": weight, "bc_loss": imitation.detach()}
