"""ACT: learn to predict chunks of the demonstrations' actions from the clone's latents (arXiv 2304.13705)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dexloop.algorithms.samples import observations_of, until_success
from dexloop.networks.act import ActNetwork, TransformerConfig
from dexloop.networks.act_storage import ActArchitecture
from dexloop.networks.chunks import ChunkingAgent
from dexloop.networks.storage import StoredPolicy
from dexloop.types import Episode


@dataclass(frozen=True, slots=True)
class ActConfig:
    """How the chunking policy learns.

    updates: gradient steps of ``batch`` samples. learning_rate, weight_decay: of AdamW. kl_weight: beta of the loss
    L1 + beta KL(q(z) || N(0, 1)), the L1 a mean over steps and action dimensions, the KL a sum over z, as in the
    paper's code. decay: m of the temporal ensemble. There is no noise on the observations as in cloning: with a
    deviation of 0.2 it did no better.
    """

    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    updates: int = 2_500
    batch: int = 64
    learning_rate: float = 5e-4
    weight_decay: float = 1e-4
    kl_weight: float = 10.0
    decay: float = 0.01

    def training(self) -> dict[str, int | float]:
        """What of it is not part of the policy, by name, to be kept beside the policy."""
        return {
            "updates": self.updates,
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "kl_weight": self.kl_weight,
        }


class ChunkBatch(NamedTuple):
    """observation (B, D) latents; actions (B, k, A) from there on; padded (B, k) bool, True where there are none."""

    observation: Tensor
    actions: Tensor
    padded: Tensor


def gather_chunks(latents: Sequence[Tensor], actions: Sequence[Tensor], chunk: int) -> ChunkBatch:
    """Every step of these episodes with the ``chunk`` actions that follow it, zero beyond the episode's end.

    latents (T, D) and actions (T, A) of each episode.
    """
    parts: list[ChunkBatch] = []
    for seen, done in zip(latents, actions, strict=True):
        ahead = torch.arange(len(done))[:, None] + torch.arange(chunk)
        padded = ahead >= len(done)
        followed = done[ahead.clamp(max=len(done) - 1)].masked_fill(padded[..., None], 0.0)
        parts.append(ChunkBatch(seen, followed, padded))
    return ChunkBatch(*(torch.cat(column) for column in zip(*parts, strict=True)))


def act_loss(network: ActNetwork, batch: ChunkBatch, kl_weight: float) -> tuple[Tensor, Tensor]:
    """The loss to be minimised and the L1 error in it, both scalars; what is padded has no part in either."""
    actions = network.standardised(batch.actions)
    mean, log_variance = network.infer_style(batch.observation, actions, batch.padded)
    style = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    error = (network(batch.observation, style) - actions).abs().mean(-1)
    l1 = error[~batch.padded].mean()
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(-1).mean()
    return l1 + kl_weight * divergence, l1


def train_act(
    network: ActNetwork,
    chunks: ChunkBatch,
    config: ActConfig,
    progress: Callable[[int, float], None] = lambda update, l1: None,
) -> float:
    """Fit ``network`` (in place) to these chunks; return the last L1 error, in deviations of the actions."""
    network.fit_actions(chunks.actions[:, 0])
    network.train()
    optimizer = torch.optim.AdamW(
        network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    l1 = torch.zeros(())
    for update in range(config.updates):
        rows = torch.randint(len(chunks.observation), (config.batch,))
        batch = ChunkBatch(*(column[rows] for column in chunks))
        loss, l1 = act_loss(network, batch, config.kl_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if update % 50 == 0:
            progress(update, float(l1.detach()))
    network.eval()
    return float(l1.detach())


def learn_act(
    clone: StoredPolicy,
    demonstrations: Sequence[Episode],
    config: ActConfig,
    *,
    seed: int,
    progress: Callable[[int, float], None] = lambda update, l1: None,
) -> tuple[ChunkingAgent, ActArchitecture]:
    """A chunking policy on what the clone's frozen latent encoder sees of the demonstrations, up to their success.

    It ignores what the clone ignores, for the same reason.
    """
    torch.manual_seed(seed)
    episodes = [until_success(episode) for episode in demonstrations]
    given = clone.architecture
    architecture = ActArchitecture(
        state_size=given.state_size,
        action_size=given.action_size,
        privileged=given.privileged,
        cameras=given.cameras,
        encoder=given.encoder,
        parts=latent_parts(clone, len(episodes[0].transitions[0].observation.proprio)),
        ignored=given.ignored,
        transformer=config.transformer,
        decay=config.decay,
        memory=given.memory,
    )
    agent = architecture.build(clone.agent.latent)
    chunks = gather_chunks(
        [agent.latent.encode(observations_of(episode)[:-1]) for episode in episodes],
        [torch.from_numpy(np.stack([t.executed for t in episode.transitions])) for episode in episodes],
        config.transformer.chunk,
    )
    train_act(agent.network, chunks, config, progress)
    return agent, architecture


def latent_parts(clone: StoredPolicy, proprio: int) -> tuple[int, ...]:
    """The sizes of a latent's parts.

    Proprioception, privileged state where it is seen, features of each camera, and their means where they are
    remembered.
    """
    privileged = clone.architecture.state_size - proprio
    encoder = clone.agent.latent.encoder
    cameras = () if encoder is None else (encoder.feature_size // len(encoder.cameras),) * len(encoder.cameras)
    return (proprio, *((privileged,) if privileged else ()), *cameras, *(cameras if clone.agent.latent.memory else ()))
