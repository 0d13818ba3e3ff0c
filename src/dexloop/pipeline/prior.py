"""Imitate the demonstrations: encoder, standardisation, the clone's head, and a chunking policy that teaches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from dexloop.algorithms.act import learn_act
from dexloop.algorithms.bc import clone
from dexloop.algorithms.encoding import EpisodeEncoder
from dexloop.algorithms.representation import gather_frames, train_encoder
from dexloop.algorithms.samples import add_episode, observations_of, until_success
from dexloop.config import RunConfig
from dexloop.data.replay import Replay, ReplayConfig
from dexloop.networks.act_storage import ActArchitecture
from dexloop.networks.agent import Agent
from dexloop.networks.chunks import ChunkingAgent
from dexloop.networks.policies import PolicyEnsemble
from dexloop.networks.pretrained import PretrainedEncoder, load_backbone
from dexloop.networks.resnet import ResNetTrunk
from dexloop.networks.storage import Architecture, StoredPolicy
from dexloop.progress import Bar
from dexloop.types import Episode, RobotSpec


def architecture_of(config: RunConfig, spec: RobotSpec) -> Architecture:
    """The networks of a run's policies."""
    seen = spec.observation
    privileged = config.observation == "privileged"
    cameras = () if privileged else tuple(sorted(seen.cameras))
    hidden = config.cloning.policy_ignores
    return Architecture(
        state_size=seen.proprio + (seen.privileged if privileged else 0),
        action_size=spec.action.size,
        privileged=privileged,
        cameras=cameras,
        encoder=replace(config.encoder, weights=None),
        memory=config.representation.memory if cameras else 0,
        members=config.cloning.members,
        standard_deviation=config.algorithm.exploration,
        # A foreign environment's names are "key.index": its "target_position.0" is a goal, not what was commanded.
        ignored=tuple(i for i, n in enumerate(seen.proprio_names) if n.startswith(hidden) and "." not in n),
    )


def require_backbone(config: RunConfig) -> None:
    """Raise DexloopError now, and not after the demonstrations, where the encoder's backbone cannot be had."""
    if config.observation == "images" and config.encoder.name != "keypoints":
        load_backbone(ResNetTrunk(config.encoder.name), config.encoder)


def pretrain(config: RunConfig, spec: RobotSpec, demonstrations: Sequence[Episode]) -> tuple[Agent, Architecture]:
    """Train encoder and policy on the demonstrations alone."""
    torch.manual_seed(config.seed)
    architecture = architecture_of(config, spec)
    agent = architecture.build()
    if isinstance(agent.latent.encoder, PretrainedEncoder):
        load_backbone(agent.latent.encoder.trunk, config.encoder)
    if agent.latent.encoder is not None:
        frames = gather_frames(demonstrations, architecture.cameras, config.representation.horizons)
        with Bar("encoder", config.representation.updates, "updates") as bar:
            train_encoder(
                agent.latent.encoder,
                frames,
                config.representation,
                lambda update, loss: bar.update(update, f"loss {loss:.3f}"),
            )
            bar.update(config.representation.updates)
        agent.latent.eval()
    # The critics must tell how near the deadline is, also where no demonstration came near it.
    clocks = [i for i, name in enumerate(spec.observation.proprio_names) if name == "remaining_time"]
    agent.latent.fit([o for e in demonstrations for o in observations_of(e)], reach_zero=clocks)
    agent.latent.requires_grad_(False)

    _fit_head(config, agent, spec.action.size, demonstrations)
    return agent, architecture


def learn_chunks(
    config: RunConfig, clone: StoredPolicy, demonstrations: Sequence[Episode]
) -> tuple[ChunkingAgent, ActArchitecture]:
    """A chunking policy of the demonstrations, on the clone's encoder."""
    with Bar("act", config.act.updates, "updates") as bar:
        learned = learn_act(
            clone,
            demonstrations,
            config.act,
            seed=config.seed,
            progress=lambda update, l1: bar.update(update, f"L1 {l1:.3f}"),
        )
        bar.update(config.act.updates)
    return learned


def distil(config: RunConfig, clone: StoredPolicy, episodes: Sequence[Episode]) -> tuple[Agent, Architecture]:
    """The clone with as many heads again, which clone these episodes, each up to its success, on the same encoder.

    A policy that does one thing after the other without hesitating, and succeeds where the clone does not, leaves
    examples that are easier to imitate than a person's (policy distillation, arXiv 1511.06295, by its rollouts). Where
    it is the worse of the two the clone's own heads are still there: the mean of all is about as good as the better.
    """
    torch.manual_seed(config.seed)
    taught = Agent(clone.agent.latent, clone.architecture.head(clone.agent.latent.size))
    _fit_head(config, taught, clone.architecture.action_size, episodes)
    heads = [*clone.agent.head.heads, *taught.head.heads]
    return Agent(clone.agent.latent, PolicyEnsemble(heads)), replace(clone.architecture, members=len(heads))


def _fit_head(config: RunConfig, agent: Agent, action_size: int, episodes: Sequence[Episode]) -> None:
    rows = sum(len(e) + 1 for e in episodes)
    encoder = EpisodeEncoder(agent.latent)
    replay = Replay(agent.latent.size, action_size, ReplayConfig(capacity=rows), seed=config.seed)
    for index, episode in enumerate(until_success(e) for e in episodes):
        key = f"demos/{index}"
        add_episode(replay, key, episode, encoder(key, episode), demonstration=True, online=False)
    with Bar("clone", config.cloning.updates, "updates") as bar:
        clone(
            agent.head,
            replay,
            config.cloning,
            lambda update, loss: bar.update(update, f"loss {loss:.4f}"),
        )
        bar.update(config.cloning.updates)
