"""The policy head: latent observation to a squashed Gaussian over actions, by one network or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

# What float32 can tell from 1 with room to spare: beyond it atanh is infinite.
_LARGEST_ACTION = 1.0 - 1e-6


class GaussianPolicy(nn.Module):
    """pi(a | s): tanh of a Gaussian, two hidden layers with LayerNorm and tanh.

    The standard deviation (of the Gaussian before the tanh) is either one fixed number, as behaviour
    cloning leaves it, or learned per state as in SAC (arXiv 1812.05905).

    standard_deviation: the fixed value, or the initial one when ``learn_deviation``. ignored: entries
    of the observation that the policy must not see (but its critics may).
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        *,
        width: int = 256,
        standard_deviation: float = 0.1,
        learn_deviation: bool = False,
        ignored: Sequence[int] = (),
    ) -> None:
        super().__init__()
        seen = torch.ones(observation_size)
        seen[list(ignored)] = 0.0
        self.seen: Tensor
        self.register_buffer("seen", seen)
        self.trunk = nn.Sequential(
            nn.Linear(observation_size, width),
            nn.LayerNorm(width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.Tanh(),
        )
        self.mean_layer = nn.Linear(width, action_size)
        # Small first actions: a policy that starts near the limits is saturated and hardly learns back.
        with torch.no_grad():
            self.mean_layer.weight.mul_(0.1)
        self.log_deviation = math.log(standard_deviation)
        self.deviation_layer: nn.Linear | None = None
        if learn_deviation:
            self.deviation_layer = nn.Linear(width, action_size)
            nn.init.zeros_(self.deviation_layer.weight)
            nn.init.zeros_(self.deviation_layer.bias)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, each (B, A), of the Gaussian before the tanh."""
        hidden = self.trunk(observation * self.seen)
        mean = self.mean_layer(hidden)
        if self.deviation_layer is None:
            return mean, torch.full_like(mean, self.log_deviation)
        return mean, (self.deviation_layer(hidden) + self.log_deviation).clamp(-5.0, 0.0)

    def mean(self, observation: Tensor) -> Tensor:
        """The deterministic action (B, A) in (-1, 1)."""
        return torch.tanh(self.mean_layer(self.trunk(observation * self.seen)))

    @property
    def heads(self) -> list[GaussianPolicy]:
        """This one alone; of a ``PolicyEnsemble`` there are more."""
        return [self]

    def sample(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """An action (B, A) and its log-probability (B,), differentiable (reparameterised)."""
        return _drawn(*self(observation))


class PolicyEnsemble(nn.Module):
    """The same with several heads, which begin differently and whose mean is the action.

    Between demonstrations, where nothing says what to do, each head goes on in a way of its own; their mean is right
    more often than any of them (bagging without resampling, as in deep ensembles, arXiv 1612.01474).
    """

    def __init__(self, members: Sequence[GaussianPolicy]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def heads(self) -> list[GaussianPolicy]:
        """The policies whose mean this is."""
        return cast("list[GaussianPolicy]", list(self.members))

    @property
    def log_deviation(self) -> float:
        """Of the noise before the tanh, where it is fixed; that of every head."""
        return self.heads[0].log_deviation

    @log_deviation.setter
    def log_deviation(self, value: float) -> None:
        for head in self.heads:
            head.log_deviation = value

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, each (B, A), of the Gaussian before the tanh."""
        outputs = [head(observation) for head in self.heads]
        action = torch.stack([torch.tanh(mean) for mean, _ in outputs]).mean(0)
        deviation = torch.stack([log_deviation for _, log_deviation in outputs]).mean(0)
        return unsquash(action), deviation

    def mean(self, observation: Tensor) -> Tensor:
        """The deterministic action (B, A) in (-1, 1)."""
        return torch.stack([head.mean(observation) for head in self.heads]).mean(0)

    def sample(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """An action (B, A) and its log-probability (B,), differentiable (reparameterised)."""
        return _drawn(*self(observation))


PolicyHead = GaussianPolicy | PolicyEnsemble


def _drawn(mean: Tensor, log_deviation: Tensor) -> tuple[Tensor, Tensor]:
    noise = torch.randn_like(mean)
    return squash(mean, log_deviation, noise), log_probability(mean, log_deviation, noise)


def squash(mean: Tensor, log_deviation: Tensor, noise: Tensor) -> Tensor:
    """The action (B, A) that standard normal ``noise`` (B, A) makes of a policy's output."""
    return torch.tanh(mean + log_deviation.exp() * noise)


def unsquash(action: Tensor) -> Tensor:
    """What the tanh makes this action of, finite for actions at their limits."""
    return torch.atanh(action.clamp(-_LARGEST_ACTION, _LARGEST_ACTION))


def log_probability(mean: Tensor, log_deviation: Tensor, noise: Tensor) -> Tensor:
    """The log-density (B,) of that action."""
    raw = mean + log_deviation.exp() * noise
    log_prob = -0.5 * noise.square() - log_deviation - 0.5 * math.log(2 * math.pi)
    # log(1 - tanh(x)^2), in the form that does not overflow (SAC, appendix C).
    return (log_prob - 2 * (math.log(2) - raw - functional.softplus(-2 * raw))).sum(-1)
