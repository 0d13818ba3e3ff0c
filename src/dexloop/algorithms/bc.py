"""Behaviour cloning: fit the policy's mean action to the demonstrations' (papers: IBORL Eq. 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dexloop.data.replay import Replay
from dexloop.networks.policies import GaussianPolicy


@dataclass(frozen=True, slots=True)
class CloningConfig:
    """updates: gradient steps. batch: samples a step. weight_decay: of AdamW."""

    updates: int = 3_000
    batch: int = 256
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4


def clone(
    policy: GaussianPolicy,
    demonstrations: Replay,
    config: CloningConfig,
    progress: Callable[[int, float], None] = lambda update, loss: None,
) -> float:
    """Minimise the mean squared error of the mean action on the demonstrations; return the last loss."""
    optimizer = torch.optim.AdamW(
        policy.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    loss = torch.zeros(())
    for update in range(config.updates):
        batch = demonstrations.sample(config.batch, demonstrations=1.0)
        loss = torch.nn.functional.mse_loss(policy.mean(batch.observation), batch.action)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if update % 100 == 0:
            progress(update, float(loss.detach()))
    return float(loss.detach())
