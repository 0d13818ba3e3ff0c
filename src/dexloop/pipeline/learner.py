"""Put the learner of a run together, with everything stored so far in its replay."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dexloop.algorithms.encoding import EpisodeEncoder
from dexloop.algorithms.iborl import ImitationRegulariser
from dexloop.algorithms.online import OnlineLearner
from dexloop.algorithms.sac import ActorCritic
from dexloop.algorithms.samples import success_seen_by, until_success
from dexloop.config import RunConfig
from dexloop.core import RewardModel
from dexloop.data.dataset import EpisodeDataset
from dexloop.data.features import KeptFeatures, forget_others
from dexloop.data.replay import Replay
from dexloop.networks.latent import LatentEncoder
from dexloop.networks.storage import load_agent
from dexloop.pipeline.robots import debounce_window, training_reward
from dexloop.progress import say
from dexloop.runtime.learner import LearnerLoop
from dexloop.runtime.link import LearnerSide
from dexloop.runtime.run_directory import RunDirectory
from dexloop.types import ActionSpec, Episode, RobotSpec


def build_learner(config: RunConfig, run: RunDirectory) -> LearnerLoop:
    """The learner of a run, with demonstrations and rollouts in its replay, resumed if it can be."""
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    spec = EpisodeDataset.open(run.demos).spec
    learner = _empty_learner(config, run, spec.action)
    reward = training_reward(config, run, spec)
    verdicts = _kept_verdicts(config, run, spec)
    forget_others(run.features, {kept.recipe for kept in (learner.encoder.kept, verdicts) if kept is not None})
    for key, episode in _stored_episodes(run.demos):
        learner.add_demonstration(key, _judged(key, episode, reward, verdicts))
    if config.algorithm.pretrained:
        # From scratch there is no clone, so its rollouts would be help that the baseline must not have.
        for key, episode in _stored_episodes(run.rollouts):
            learner.add(key, _judged(key, episode, reward, verdicts))
    link = LearnerSide(run.episodes, run.policy)
    loop = LearnerLoop(learner, link, run.checkpoints, run.metrics, config.algorithm.pace)
    for trouble in loop.resume():
        say(f"warning: {trouble}")
    loop.receive()
    return loop


def _empty_learner(config: RunConfig, run: RunDirectory, action: ActionSpec) -> OnlineLearner:
    """A learner that has seen nothing yet."""
    algorithm, crops = config.algorithm, config.representation.crops
    prior = load_agent(run.prior)
    agent = prior.agent
    architecture = replace(
        prior.architecture,
        standard_deviation=algorithm.exploration,
        learn_deviation=algorithm.learner.learn_temperature,
    )
    policy = architecture.head(agent.latent.size)
    if algorithm.pretrained:
        # A deviation that is to be learned is the one thing that the clone does not have.
        policy.load_state_dict(agent.head.state_dict(), strict=False)
    regulariser = None
    if algorithm.regulariser is not None:
        regulariser = ImitationRegulariser(load_agent(run.prior).agent.head, algorithm.regulariser)
    sizes = agent.latent.size, architecture.action_size
    replay = Replay(*sizes, algorithm.replay, crops=crops, seed=config.seed, spill=run.root)
    actor_critic = ActorCritic(
        policy,
        replay,
        algorithm.learner,
        latent_size=agent.latent.size,
        action_size=architecture.action_size,
        regulariser=regulariser,
    )
    latents = _kept_latents(config, run, agent.latent)
    encoder = EpisodeEncoder(agent.latent, crops=crops, shift=config.representation.shift, kept=latents)
    return OnlineLearner(
        architecture,
        encoder,
        replay,
        actor_critic,
        copy_successes=algorithm.copy_successes,
        teacher=load_agent(run.prior).agent.head if algorithm.acts == "best_proposal" else None,
        speedup=_factors(action, algorithm.speedup),
    )


def _factors(action: ActionSpec, speedup: float) -> tuple[float, ...]:
    """What makes an action of this robot ``speedup`` times as fast; empty where that changes nothing."""
    factors = [1.0] * action.size
    for group in action.groups:
        if group.velocity:
            factors[group.start : group.stop] = [speedup] * (group.stop - group.start)
    return () if set(factors) == {1.0} else tuple(factors)


def _kept_latents(config: RunConfig, run: RunDirectory, latent: LatentEncoder) -> KeptFeatures | None:
    """Where latents are kept; None without images, when they cost nothing to make."""
    if latent.encoder is None:
        return None
    given = config.representation
    return KeptFeatures(run.features, EpisodeEncoder.recipe(latent, crops=given.crops, shift=given.shift))


def _kept_verdicts(config: RunConfig, run: RunDirectory, spec: RobotSpec) -> KeptFeatures | None:
    """Where it is kept what the classifier said; None where somebody else judges, who need not look again."""
    if config.reward != "classifier":
        return None
    debounce = (debounce_window(config, spec), config.classifier.hits)
    digest = hashlib.sha256(run.classifier.read_bytes() + repr(debounce).encode()).hexdigest()
    return KeptFeatures(run.features, f"verdicts-{digest[:16]}")


def _judged(key: str, episode: Episode, reward: RewardModel, kept: KeptFeatures | None) -> Episode:
    """The episode up to where ``reward`` sees success, so that all of a replay is judged alike.

    kept: verdicts of before; step numbers, -1 for never.
    """
    found = None if kept is None else kept.read(key, episode)
    if found is not None and found.shape == () and found < len(episode):
        return until_success(episode, int(found) if found >= 0 else None)
    seen = success_seen_by(reward, episode)
    if kept is not None:
        kept.write(key, episode, np.array(-1 if seen is None else seen))
    return until_success(episode, seen)


def _stored_episodes(path: Path) -> Iterator[tuple[str, Episode]]:
    """The readable episodes of a dataset with their keys, one at a time; none if there is no dataset."""
    if path.is_dir():
        dataset = EpisodeDataset.open(path)
        for index in dataset.episodes:
            yield f"{path.name}/{index}", dataset.episode(index, late=True)
