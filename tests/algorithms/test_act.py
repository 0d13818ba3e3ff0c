"""ACT learns the chunks it is shown, and nothing from where an episode was already over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from dexloop.algorithms.act import (
    ActConfig,
    act_loss,
    gather_chunks,
    latent_parts,
    learn_act,
    train_act,
)
from dexloop.networks.act import ActNetwork, TransformerConfig
from dexloop.networks.act_storage import act_to_bytes
from dexloop.networks.encoders import EncoderConfig
from dexloop.networks.storage import Architecture, StoredPolicy
from dexloop.types import Episode
from tests.data.samples import HAND_ROBOT, SMALL_ROBOT, make_episode, observations

TINY = TransformerConfig(
    chunk=6, style=4, width=32, heads=2, feedforward=64, encoder_layers=1, decoder_layers=1, dropout=0.0
)
QUICK = ActConfig(transformer=TINY, updates=3, batch=8)


def trajectories(count: int = 4, length: int = 15) -> tuple[list[Tensor], list[Tensor]]:
    """Latents (T, 5) and smooth actions (T, 2) of a handful of episodes."""
    generator = torch.Generator().manual_seed(3)
    seen = [torch.randn(length, 5, generator=generator) for _ in range(count)]
    phases = torch.rand(count, generator=generator) * 6
    times = torch.linspace(0, 3, length)
    return seen, [torch.stack([torch.sin(times + p), 0.3 * torch.cos(2 * times + p)], -1) for p in phases]


def fresh(config: TransformerConfig = TINY) -> ActNetwork:
    torch.manual_seed(0)
    return ActNetwork((3, 2), 2, config)


def test_a_chunk_is_the_actions_from_here_to_the_end_of_the_episode() -> None:
    latents = [torch.arange(4.0)[:, None], torch.arange(10.0, 12.0)[:, None]]
    actions = [torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[5.0], [6.0]])]
    chunks = gather_chunks(latents, actions, 3)
    assert chunks.observation[:, 0].tolist() == [0, 1, 2, 3, 10, 11]
    assert chunks.actions[..., 0].tolist() == [[1, 2, 3], [2, 3, 4], [3, 4, 0], [4, 0, 0], [5, 6, 0], [6, 0, 0]]
    assert chunks.padded.int().tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 0, 1], [0, 1, 1]]


def test_what_is_padded_changes_neither_loss_nor_gradient() -> None:
    chunks = gather_chunks(*trajectories(), TINY.chunk)
    other = chunks._replace(actions=chunks.actions.masked_fill(chunks.padded[..., None], 7.0))
    assert not torch.equal(other.actions, chunks.actions)
    found: list[tuple[float, Tensor]] = []
    for batch in (chunks, other):
        network = fresh()
        network.fit_actions(batch.actions[:, 0])
        torch.manual_seed(1)
        loss, _ = act_loss(network, batch, 10.0)
        loss.backward()
        found.append((loss.item(), torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


def test_the_loss_is_that_of_the_paper() -> None:
    chunks = gather_chunks(*trajectories(), TINY.chunk)
    network = fresh().eval()
    torch.manual_seed(1)
    loss, l1 = act_loss(network, chunks, 10.0)
    mean, log_variance = network.infer_style(chunks.observation, chunks.actions, chunks.padded)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    torch.manual_seed(1)
    style = posterior.rsample()
    error = (network(chunks.observation, style) - chunks.actions).abs()
    kept = [error[row, step] for row, step in (~chunks.padded).nonzero().tolist()]
    divergence = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(-1).mean()
    torch.testing.assert_close(l1, torch.stack(kept).mean())
    torch.testing.assert_close(loss, l1 + 10.0 * divergence)
    assert divergence > 0.01


def test_it_learns_a_handful_of_trajectories_by_heart() -> None:
    chunks = gather_chunks(*trajectories(3, 10), TINY.chunk)
    network, reported = fresh(), list[float]()
    config = ActConfig(transformer=TINY, updates=500, batch=30, learning_rate=2e-3)
    l1 = train_act(network, chunks, config, lambda update, l1: reported.append(l1))
    assert reported[0] > 0.5 and l1 < 0.15 and len(reported) == 10
    assert not network.training
    with torch.no_grad():
        error = (network.chunk(chunks.observation) - chunks.actions).abs()[~chunks.padded]
    assert error.mean() < 0.08, "without having seen what followed, with z = 0"


def clone(robot: str, memory: int = 0) -> StoredPolicy:
    """An untrained clone whose standardisation fits the episodes of ``demonstrations``."""
    spec = SMALL_ROBOT if robot == "images" else HAND_ROBOT
    seen = spec.observation
    architecture = Architecture(
        state_size=seen.proprio + seen.privileged,
        action_size=spec.action.size,
        privileged=robot == "privileged",
        cameras=("top",) if robot == "images" else (),
        encoder=EncoderConfig(keypoints=3, width=4),
        ignored=(2,),
        memory=memory,
    )
    torch.manual_seed(0)
    agent = architecture.build()
    agent.latent.fit(list(observations(spec, 1, 20)))
    return StoredPolicy(agent, architecture, {})


def demonstrations(robot: str) -> list[Episode]:
    return [make_episode(SMALL_ROBOT if robot == "images" else HAND_ROBOT, seed, 8) for seed in range(3)]


@pytest.mark.parametrize(
    ("robot", "memory", "parts"), [("images", 0, (3, 6)), ("images", 5, (3, 6, 6)), ("privileged", 0, (25, 7))]
)
def test_it_learns_on_the_clones_latents(robot: str, memory: int, parts: tuple[int, ...]) -> None:
    given = clone(robot, memory)
    before = given.agent.latent.fingerprint()
    agent, architecture = learn_act(given, demonstrations(robot), QUICK, seed=1)
    assert architecture.parts == parts == latent_parts(given, parts[0]) and architecture.memory == memory
    assert architecture.ignored == (2,) and agent.network.seen[2] == 0.0 and agent.network.seen.sum() == sum(parts) - 1
    assert agent.latent.fingerprint() == before, "the encoder is the clone's and stays so"
    executed = np.concatenate([[t.executed for t in e.transitions] for e in demonstrations(robot)])
    np.testing.assert_allclose(agent.network.action_mean, executed.mean(0), atol=1e-6)
    action = agent.act(demonstrations(robot)[0].transitions[0].observation, explore=False).action
    assert action.shape == (architecture.action_size,) and np.abs(action).max() <= 1


def test_what_comes_after_success_is_not_learned() -> None:
    episodes = demonstrations("privileged")
    early = list(episodes[0].transitions)
    early[3] = replace(early[3], success=True)
    agent, _ = learn_act(clone("privileged"), [replace(episodes[0], transitions=tuple(early))], QUICK, seed=1)
    learned = np.stack([t.executed for t in early[:4]])
    np.testing.assert_allclose(agent.network.action_mean, learned.mean(0), atol=1e-6)


def test_the_same_seed_gives_the_same_policy() -> None:
    made = [act_to_bytes(*learn_act(clone("images"), demonstrations("images"), QUICK, seed=s)) for s in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
