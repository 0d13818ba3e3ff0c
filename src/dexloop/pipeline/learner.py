"""Put the learner of a run together, with everything stored so far in its replay."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

import torch

from dexloop.algorithms.encoding import EpisodeEncoder
from dexloop.algorithms.iborl import ImitationRegulariser
from dexloop.algorithms.online import OnlineLearner
from dexloop.algorithms.sac import ActorCritic
from dexloop.config import RunConfig
from dexloop.data.dataset import EpisodeDataset
from dexloop.data.features import KeptFeatures, forget_others
from dexloop.data.replay import Replay
from dexloop.networks.latent import LatentEncoder
from dexloop.networks.storage import load_agent
from dexloop.pipeline.judging import StoredJudge
from dexloop.progress import say
from dexloop.runtime.learner import LearnerLoop
from dexloop.runtime.link import LearnerSide
from dexloop.runtime.run_directory import RunDirectory
from dexloop.types import ActionSpec

_LEARNING = ("mean", "best_proposal")
_HEEDED_BY = MappingProxyType(
    {
        "--algorithm.paces": ("best_pace",),
        "--algorithm.caution": ("best_pace",),
        "--algorithm.speedup": ("best_proposal",),
        "--algorithm.regulariser.": _LEARNING,
        "--algorithm.learner.actor-": _LEARNING,
        "--algorithm.learner.extraction": _LEARNING,
        "--algorithm.learner.imitates": _LEARNING,
        "--algorithm.learner.error": _LEARNING,
        "--algorithm.learner.beta": _LEARNING,
        "--algorithm.learner.climb": _LEARNING,
        "--algorithm.learner.input-noise": _LEARNING,
        "--algorithm.learner.temperature": _LEARNING,
        "--algorithm.learner.learn-temperature": _LEARNING,
        "--algorithm.learner.target-entropy": _LEARNING,
    }
)
"""Which ways to act heed a flag, for those that not all do; by its name or what that begins with."""


def build_learner(config: RunConfig, run: RunDirectory) -> LearnerLoop:
    """The learner of a run, with demonstrations and rollouts in its replay, resumed if it can be."""
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    spec = EpisodeDataset.open(run.demos).spec
    learner = _empty_learner(config, run, spec.action)
    judge = StoredJudge(config, run, spec)
    forget_others(run.features, {kept.recipe for kept in (learner.encoder.kept, judge.kept) if kept is not None})
    for key, episode in judge.episodes(run.demos):
        learner.add_demonstration(key, episode)
    if config.algorithm.pretrained:
        # From scratch there is no clone, so its rollouts would be help that the baseline must not have.
        for key, episode in judge.episodes(run.rollouts):
            learner.add(key, episode)
    link = LearnerSide(run.episodes, run.policy)
    loop = LearnerLoop(learner, link, run.checkpoints, run.metrics, config.algorithm.pace)
    for trouble in loop.resume():
        say(f"warning: {trouble}")
    loop.receive()
    return loop


def _empty_learner(config: RunConfig, run: RunDirectory, action: ActionSpec) -> OnlineLearner:
    """A learner that has seen nothing yet."""
    algorithm, crops, acts = config.algorithm, config.representation.crops, how_it_acts(config)
    prior = load_agent(run.start)
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
    learns_policy, regulariser = acts != "best_pace", None
    if learns_policy and algorithm.regulariser is not None:
        regulariser = ImitationRegulariser(load_agent(run.start).agent.head, algorithm.regulariser)
    sizes = agent.latent.size, architecture.action_size
    replay = Replay(*sizes, algorithm.replay, crops=crops, seed=config.seed, spill=run.root)
    actor_critic = ActorCritic(
        policy,
        replay,
        algorithm.learner,
        latent_size=agent.latent.size,
        action_size=architecture.action_size,
        regulariser=regulariser,
        learns_policy=learns_policy,
    )
    latents = _kept_latents(config, run, agent.latent)
    encoder = EpisodeEncoder(agent.latent, crops=crops, shift=config.representation.shift, kept=latents)
    return OnlineLearner(
        architecture,
        encoder,
        replay,
        actor_critic,
        copy_successes=algorithm.copy_successes,
        # A policy that learns has what it began as beside it.
        teacher=load_agent(run.start).agent.head if acts == "best_proposal" else None,
        speedup=_factors(action, algorithm.speedup),
        paces=_all_factors(action, algorithm.paces) if acts == "best_pace" else (),
        caution=algorithm.caution,
    )


def how_it_acts(config: RunConfig) -> Literal["mean", "best_proposal", "best_pace"]:
    """What ``--algorithm.acts`` comes to: auto lets the policy learn where somebody may show it something."""
    acts = config.algorithm.acts
    if acts != "auto":
        return acts
    return "best_pace" if config.train.take_over == "nobody" else "best_proposal"


def unheeded(config: RunConfig, flags: Collection[str]) -> set[str]:
    """Those of ``flags`` that only another way to act heeds than this configuration's."""
    acts = how_it_acts(config)
    return {f for f in flags for name, heeding in _HEEDED_BY.items() if f.startswith(name) and acts not in heeding}


def _all_factors(action: ActionSpec, paces: Sequence[float]) -> tuple[tuple[float, ...], ...]:
    """The factors of each pace; those of one where a robot has no actions that are velocities."""
    return tuple(dict.fromkeys(_factors(action, pace) or (1.0,) * action.size for pace in paces))


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
