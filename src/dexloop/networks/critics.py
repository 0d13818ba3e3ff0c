"""An ensemble of Q-functions computed as one batched matrix product a layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class EnsembleCritic(nn.Module):
    """E independent Q(s, a) networks with LayerNorm (RLPD, arXiv 2302.02948), weights stacked [E, in, out].

    All members see the same batch; ``torch.baddbmm`` runs them as one product, which costs less than
    a loop of small ones.
    """

    def __init__(self, observation_size: int, action_size: int, members: int = 10, width: int = 256) -> None:
        super().__init__()
        self.members = members
        sizes = [(observation_size + action_size, width), (width, width), (width, 1)]
        self.weights = nn.ParameterList([_orthogonal(members, i, o) for i, o in sizes])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(members, 1, o)) for _, o in sizes])
        self.gains = nn.ParameterList([nn.Parameter(torch.ones(members, 1, width)) for _ in range(2)])
        self.shifts = nn.ParameterList([nn.Parameter(torch.zeros(members, 1, width)) for _ in range(2)])

    def forward(self, observation: Tensor, action: Tensor, subset: Tensor | None = None) -> Tensor:
        """Q-values (E, B) for observation (B, D) and action (B, A).

        subset: member indices (Z,); then only those are computed and the result is (Z, B).
        """

        def pick(parameter: Tensor) -> Tensor:
            return parameter if subset is None else parameter.index_select(0, subset)

        x = torch.cat([observation, action], -1)
        x = x.unsqueeze(0).expand(self.members if subset is None else len(subset), -1, -1)
        for weight, bias, gain, shift in zip(self.weights[:2], self.biases[:2], self.gains, self.shifts, strict=True):
            x = torch.baddbmm(pick(bias), x, pick(weight))
            x = torch.addcmul(pick(shift), functional.layer_norm(x, (x.shape[-1],)), pick(gain))
            x = functional.relu(x)
        return torch.baddbmm(pick(self.biases[2]), x, pick(self.weights[2])).squeeze(-1)


def _orthogonal(members: int, rows: int, columns: int) -> nn.Parameter:
    stacked = torch.empty(members, rows, columns)
    for member in stacked:
        # PyTorch stores Linear weights as (out, in); these are (in, out), so the gain applies alike.
        nn.init.orthogonal_(member, gain=math.sqrt(2) if columns > 1 else 1.0)
    return nn.Parameter(stacked)
