"""Train online: the same actor and learner, in one process or in two."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from dexloop.algorithms.iborl import ImitationRegulariser
from dexloop.algorithms.online import OnlineLearner
from dexloop.algorithms.sac import ActorCritic
from dexloop.algorithms.samples import judged_by, until_success
from dexloop.config import RunConfig, read_config
from dexloop.core import Policy, Robot
from dexloop.data.dataset import EpisodeDataset
from dexloop.data.replay import Replay
from dexloop.errors import DexloopError
from dexloop.gates.human import HumanGate
from dexloop.networks.storage import load_agent
from dexloop.pipeline.record import open_dataset
from dexloop.pipeline.robots import training_reward
from dexloop.progress import Bar, say
from dexloop.runtime.actor import Actor
from dexloop.runtime.learner import LearnerLoop
from dexloop.runtime.leash import ActorEnd, LearnerEnd
from dexloop.runtime.link import ActorSide, LearnerSide
from dexloop.runtime.run_directory import RunDirectory
from dexloop.seeds import Purpose, episode_seed
from dexloop.types import Episode

# The actor may be this many critic updates' worth of steps ahead of the learner before it waits.
_SLACK_UPDATES = 600
_STOPPING_SECONDS = 60.0


def build_learner(config: RunConfig, run: RunDirectory) -> LearnerLoop:
    """The learner of a run, with demonstrations and rollouts in its replay, resumed if it can be."""
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    prior = load_agent(run.prior)
    algorithm = config.algorithm
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
    actions = architecture.action_size
    replay = Replay(agent.latent.size, actions, algorithm.replay, seed=config.seed)
    learner = OnlineLearner(
        architecture,
        agent.latent,
        replay,
        ActorCritic(
            policy,
            replay,
            algorithm.learner,
            latent_size=agent.latent.size,
            action_size=actions,
            regulariser=regulariser,
        ),
    )
    reward = training_reward(config, run, EpisodeDataset.open(run.demos).spec)
    for index, episode in stored_episodes(run.demos):
        learner.add_demonstration(f"demos/{index}", judged_by(reward, episode))
    if algorithm.pretrained:
        # From scratch there is no clone, so its rollouts would be help that the baseline must not have.
        for index, episode in stored_episodes(run.rollouts):
            learner.add(f"rollouts/{index}", judged_by(reward, episode))
    loop = LearnerLoop(learner, LearnerSide(run.episodes, run.policy), run.checkpoints, run.metrics, algorithm.pace)
    for trouble in loop.resume():
        say(f"warning: {trouble}")
    loop.receive()
    return loop


def stored_episodes(path: Path) -> list[tuple[int, Episode]]:
    """The readable episodes of a dataset with their indices; none if there is no dataset."""
    if not path.is_dir():
        return []
    dataset = EpisodeDataset.open(path)
    return [(i, dataset.episode(i)) for i in dataset.episodes]


def build_actor(config: RunConfig, run: RunDirectory, robot: Robot) -> Actor:
    """The actor of a run, at the point that its episodes on disk say."""
    episodes = open_dataset(run.episodes, robot)
    infos = [episodes.episode_info(i) for i in episodes.episodes]
    spent, steps = sum(i.robot_seconds for i in infos), sum(i.length for i in infos)
    if config.algorithm.pretrained:
        rollouts = [until_success(e) for _, e in stored_episodes(run.rollouts)]
        spent += sum(e.robot_seconds for e in rollouts)
        steps += sum(len(e) for e in rollouts)
    return Actor(
        robot,
        _load_policy,
        training_reward(config, run, robot.spec),
        HumanGate(),
        ActorSide(episodes, run.policy),
        run.metrics,
        lambda index: episode_seed(Purpose.TRAINING, config.seed, index),
        robot_seconds=spent,
        steps=steps,
    )


def _load_policy(path: Path) -> tuple[Policy, int]:
    stored = load_agent(path)
    return stored.agent, int(stored.facts["version"])


class TrainingBar:
    """Shows an online run: robot minutes, success over the last 20 episodes, control rate."""

    def __init__(self, config: RunConfig) -> None:
        self.bar = Bar(config.algorithm.name, config.train.robot_minutes, "robot min")
        self._recent: deque[bool] = deque(maxlen=20)

    def episode(self, actor: Actor, episode: Episode) -> None:
        """Note a finished episode."""
        self._recent.append(episode.success)
        rate = 100 * sum(self._recent) / len(self._recent)
        hz = len(episode) / max(episode.wall_seconds, 1e-9)
        self.bar.update(actor.robot_seconds / 60, f"success {rate:.0f} % of last {len(self._recent)}, {hz:.0f} Hz")


def train_synchronously(config: RunConfig, run: RunDirectory, robot: Robot) -> None:
    """Episode, updates, episode, updates: deterministic, and what benchmark cells use."""
    loop = build_learner(config, run)
    actor = build_actor(config, run, robot)
    shown = TrainingBar(config)
    try:
        with shown.bar:
            loop.turn()
            loop.publish()
            while actor.robot_seconds < 60 * config.train.robot_minutes:
                shown.episode(actor, actor.run_episode())
                loop.receive()
                loop.turn()
                loop.publish()
    finally:
        loop.checkpoint()


def train_in_processes(config: RunConfig, run: RunDirectory, robot: Robot) -> None:
    """The actor here, the learner in a process of its own at lower priority; neither waits but for pace."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    learner = ActorEnd(ours)
    process = context.Process(target=learner_process, args=(str(run.root), theirs), daemon=False)
    # Ctrl-C goes to the whole group, and the actor decides what it means: the learner inherits a mask, for its first
    # seconds too. Python's own helper process lifts such a mask when it starts, so it has to be there before.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    process.start()
    # Only the learner may hold this end, so that its death closes it.
    theirs.close()
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        shown = TrainingBar(config)
        actor = build_actor(config, run, robot)
        torch.set_num_threads(1)
        while not learner.is_ready(patience=0.2):
            _require_alive(process.exitcode, run)
        with shown.bar:
            while actor.robot_seconds < 60 * config.train.robot_minutes:
                while actor.lead(config.algorithm.pace.updates_per_step) > _SLACK_UPDATES:
                    _require_alive(process.exitcode, run)
                    time.sleep(0.05)
                _require_alive(process.exitcode, run)
                shown.episode(actor, actor.run_episode())
        learner.finish()
        while process.is_alive():
            process.join(0.5)
        if process.exitcode != 0:
            raise _stopped(process.exitcode, run)
    finally:
        learner.leave()
        process.join(_STOPPING_SECONDS)
        if process.is_alive():
            process.kill()


def _require_alive(exitcode: int | None, run: RunDirectory) -> None:
    if exitcode is not None:
        raise _stopped(exitcode, run)


def _stopped(exitcode: int | None, run: RunDirectory) -> DexloopError:
    return DexloopError(
        f"the learner stopped (exit code {exitcode}); every finished episode is kept, "
        f"go on with: dexloop train {run.root} --resume"
    )


def learner_process(root: str, pipe: Connection) -> None:
    """The learner's main: ends when told to or when its actor is gone, and then saves what it has learned."""
    os.nice(5)
    try:
        _learn(RunDirectory(Path(root)), LearnerEnd(pipe))
    except DexloopError as error:
        say(f"learner: {error}")
        sys.exit(1)


def _learn(run: RunDirectory, actor: LearnerEnd) -> None:
    loop = build_learner(read_config(run.config), run)
    # What rollouts and earlier episodes allow comes first: the critic must know the clone's own data
    # before the robot moves by its advice.
    while actor.wanted and loop.turn(seconds=1.0):
        pass
    loop.publish()
    actor.ready()
    while actor.wanted:
        finishing = actor.finishing
        fresh = loop.receive()
        worked = loop.turn(seconds=1.0)
        if not worked:
            if finishing and not fresh:
                break
            loop.publish_if_new()
            time.sleep(0.02)
    loop.publish()
    loop.checkpoint()
