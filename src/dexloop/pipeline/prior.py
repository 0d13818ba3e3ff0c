"""Clone the demonstrations: encoder, standardisation and policy head."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dexloop.algorithms.bc import clone
from dexloop.algorithms.representation import gather_frames, train_encoder
from dexloop.algorithms.samples import add_episode, observations_of, until_success
from dexloop.config import RunConfig
from dexloop.data.replay import Replay, ReplayConfig
from dexloop.networks.agent import Agent
from dexloop.networks.storage import Architecture
from dexloop.progress import Bar
from dexloop.types import Episode, RobotSpec


def architecture_of(config: RunConfig, spec: RobotSpec) -> Architecture:
    """The networks of a run's policies."""
    seen = spec.observation
    privileged = config.observation == "privileged"
    hidden = config.cloning.policy_ignores
    return Architecture(
        state_size=seen.proprio + (seen.privileged if privileged else 0),
        action_size=spec.action.size,
        privileged=privileged,
        cameras=() if privileged else tuple(sorted(seen.cameras)),
        encoder=config.encoder,
        standard_deviation=config.algorithm.exploration,
        learn_deviation=config.algorithm.learner.learn_temperature,
        # A foreign environment's names are "key.index": its "target_position.0" is a goal, not what was commanded.
        ignored=tuple(i for i, n in enumerate(seen.proprio_names) if n.startswith(hidden) and "." not in n),
    )


def pretrain(config: RunConfig, spec: RobotSpec, demonstrations: Sequence[Episode]) -> tuple[Agent, Architecture]:
    """Train encoder and policy on the demonstrations alone."""
    torch.manual_seed(config.seed)
    architecture = architecture_of(config, spec)
    agent = architecture.build()
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
    agent.latent.fit([o for e in demonstrations for o in observations_of(e)])
    agent.latent.requires_grad_(False)

    rows = sum(len(e) + 1 for e in demonstrations)
    replay = Replay(agent.latent.size, spec.action.size, ReplayConfig(capacity=rows), seed=config.seed)
    for index, episode in enumerate(demonstrations):
        add_episode(replay, agent.latent, str(index), until_success(episode), demonstration=True, online=False)
    with Bar("clone", config.cloning.updates, "updates") as bar:
        clone(
            agent.head,
            replay,
            config.cloning,
            lambda update, loss: bar.update(update, f"loss {loss:.4f}"),
        )
        bar.update(config.cloning.updates)
    return agent, architecture
