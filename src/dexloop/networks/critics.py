"""An ensemble of Q-functions computed as one batched matrix product a layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dexloop.networks.close_up import CloseUp


class EnsembleCritic(nn.Module):
    """E independent Q(s, a) networks with LayerNorm (RLPD, arXiv 2302.02948), weights stacked [E, in, out].

    All members see the same batch; ``torch.baddbmm`` runs them as one product, which costs less than
    a loop of small ones. With ``close_up`` they see the observation twice, the second time magnified.
    """

    def __init__(
        self, observation_size: int, action_size: int, members: int = 10, width: int = 256, *, close_up: bool = False
    ) -> None:
        super().__init__()
        self.members = members
        self.close_up = CloseUp(observation_size) if close_up else None
        self._seen_size = 2 * observation_size if close_up else observation_size
        sizes = [(self._seen_size + action_size, width), (width, width), (width, 1)]
        self.weights = nn.ParameterList([_orthogonal(members, i, o) for i, o in sizes])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(members, 1, o)) for _, o in sizes])
        self.gains = nn.ParameterList([nn.Parameter(torch.ones(members, 1, width)) for _ in range(2)])
        self.shifts = nn.ParameterList([nn.Parameter(torch.zeros(members, 1, width)) for _ in range(2)])

    def forward(self, observation: Tensor, action: Tensor, subset: Tensor | None = None) -> Tensor:
        """Q-values (E, B) for observation (B, D) and action (B, A).

        subset: member indices (Z,); then only those are computed and the result is (Z, B).
        """
        weight, bias = _pick(self.weights[0], subset), _pick(self.biases[0], subset)
        x = torch.cat([self._seen(observation), action], -1).expand(len(weight), -1, -1)
        return self._above(torch.baddbmm(bias, x, weight), subset)

    def read(self, observation: Tensor) -> Tensor:
        """What the first layer makes of observation (B, D): (E, B, width), for ``value``."""
        weight = self.weights[0][:, : self._seen_size]
        return torch.baddbmm(self.biases[0], self._seen(observation).expand(self.members, -1, -1), weight)

    def value(self, read: Tensor, action: Tensor) -> Tensor:
        """Q-values (E, B) for action (B, A) in the observations that were ``read``.

        The same as ``forward``; several actions in the same observations share the work of reading them.
        """
        weight = self.weights[0][:, self._seen_size :]
        return self._above(torch.baddbmm(read, action.expand(self.members, -1, -1), weight), None)

    def _seen(self, observation: Tensor) -> Tensor:
        return observation if self.close_up is None else self.close_up(observation)

    def _above(self, first: Tensor, subset: Tensor | None) -> Tensor:
        """Q-values from what comes out of the first layer's product (E, B, width)."""
        hidden = self._activated(first, 0, subset)
        second = torch.baddbmm(_pick(self.biases[1], subset), hidden, _pick(self.weights[1], subset))
        hidden = self._activated(second, 1, subset)
        # As a matrix product with a single column this takes several times as long.
        last = _pick(self.weights[2], subset).transpose(1, 2)
        return (hidden * last).sum(-1) + _pick(self.biases[2], subset).squeeze(-1)

    def _activated(self, x: Tensor, layer: int, subset: Tensor | None) -> Tensor:
        gain, shift = _pick(self.gains[layer], subset), _pick(self.shifts[layer], subset)
        return torch.addcmul(shift, functional.layer_norm(x, (x.shape[-1],)), gain).relu_()


def _pick(parameter: Tensor, subset: Tensor | None) -> Tensor:
    return parameter if subset is None else parameter.index_select(0, subset)


def _orthogonal(members: int, rows: int, columns: int) -> nn.Parameter:
    stacked = torch.empty(members, rows, columns)
    for member in stacked:
        # PyTorch stores Linear weights as (out, in); these are (in, out), so the gain applies alike.
        nn.init.orthogonal_(member, gain=math.sqrt(2) if columns > 1 else 1.0)
    return nn.Parameter(stacked)
