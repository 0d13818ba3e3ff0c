"""Behaviour cloning: fit the policy's mean action to the demonstrations' (IBORL Eq. 1, with the error to choose)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from dexloop.data.replay import Replay
from dexloop.errors import DexloopError
from dexloop.networks.policies import PolicyHead

_MOST_MEMBERS = 100


@dataclass(frozen=True, slots=True)
class CloningConfig:
    """How the demonstrations are cloned.

    updates: gradient steps. batch: samples a step. weight_decay: of AdamW. error: of an action, squared as in Eq. 1,
    or absolute as in ACT (arXiv 2304.13705). People pause, and begin to close a hand now a little sooner, now later.
    With the squared error a policy learns the mean of that, which can be a hand half closed; with the absolute one
    the median, which is what was done more often. members: networks that learn this side by side and whose mean acts:
    one answers better the more of them there are. input_noise: deviation of the noise on standardised observations;
    it keeps the clone from reading the next action off tiny differences that only the demonstrator's own motion has.
    policy_ignores: proprioception by the beginning of its name that the policy does not see. Where it sees its own
    targets and the time it copies them instead of looking (de Haan et al., "Causal Confusion in Imitation Learning",
    arXiv 1905.11979); the critics see everything.
    """

    members: int = 5
    updates: int = 3_000
    batch: int = 256
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    input_noise: float = 0.2
    error: Literal["absolute", "squared"] = "absolute"
    policy_ignores: tuple[str, ...] = ("target_", "remaining_time")

    def __post_init__(self) -> None:
        """Raise DexloopError for a value that cannot be meant."""
        if not 1 <= self.members <= _MOST_MEMBERS:
            raise DexloopError(f"--cloning.members must lie in [1, {_MOST_MEMBERS}], got {self.members}")


def clone(
    policy: PolicyHead,
    demonstrations: Replay,
    config: CloningConfig,
    progress: Callable[[int, float], None] = lambda update, loss: None,
) -> float:
    """Minimise the mean error of each head's mean action on the demonstrations; return the last loss."""
    error = {"absolute": functional.l1_loss, "squared": functional.mse_loss}[config.error]
    optimizer = torch.optim.AdamW(
        policy.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    loss = torch.zeros(())
    for update in range(config.updates):
        losses: list[Tensor] = []
        for head in policy.heads:
            batch = demonstrations.sample(config.batch, demonstrations=1.0)
            seen = batch.observation + config.input_noise * torch.randn_like(batch.observation)
            losses.append(error(head.mean(seen), batch.action))
        loss = torch.stack(losses).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if update % 100 == 0:
            progress(update, float(loss.detach()))
    return float(loss.detach())
