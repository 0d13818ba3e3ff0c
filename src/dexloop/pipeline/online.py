"""Train online: the same actor and learner, in one process or in two."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from dexloop.config import RunConfig, read_config
from dexloop.core import Operator, Policy, Robot
from dexloop.errors import DexloopError
from dexloop.gates.human import HumanGate
from dexloop.networks.storage import load_agent
from dexloop.operators.keyboard import KeyboardOperator
from dexloop.pipeline.learner import build_learner
from dexloop.pipeline.record import next_attempt, open_dataset, robot_seconds, rollout_seconds
from dexloop.pipeline.robots import training_reward
from dexloop.progress import Bar, say
from dexloop.runtime.actor import Actor, void_seconds
from dexloop.runtime.leash import ActorEnd, LearnerEnd
from dexloop.runtime.link import ActorSide
from dexloop.runtime.run_directory import RunDirectory
from dexloop.seeds import Purpose, episode_seed
from dexloop.types import Episode

# The actor may be this many critic updates' worth of steps ahead of the learner before it waits.
_SLACK_UPDATES = 600
_STOPPING_SECONDS = 60.0
# A busy processor takes a few seconds from one policy to the next; a learner that is silent for longer hangs.
_SILENT_SECONDS = 30.0


def build_actor(config: RunConfig, run: RunDirectory, robot: Robot, operator: Operator | None = None) -> Actor:
    """The actor of a run, at the point that its episodes on disk say.

    The learner must have published: how many steps it has to learn from, the newest policy says, so that both count
    the same ones. operator: who may take over.
    """
    episodes = open_dataset(run.episodes, robot)
    spent = robot_seconds(episodes) + void_seconds(run.metrics.path)
    if config.algorithm.pretrained:
        spent += rollout_seconds(run.rollouts)
    steps = int(load_agent(run.policy).facts["steps"])
    return Actor(
        robot,
        _load_policy,
        training_reward(config, run, robot.spec),
        HumanGate(),
        ActorSide(episodes, run.policy),
        run.metrics,
        lambda index: episode_seed(Purpose.TRAINING, config.seed, index),
        operator=operator,
        # Only a keyboard has to be told where the hands are; other operators see what they need.
        listeners=(operator,) if isinstance(operator, KeyboardOperator) else (),
        attempt=next_attempt(episodes, Purpose.TRAINING, config.seed),
        robot_seconds=spent,
        steps=steps,
    )


def _say_if_spent(actor: Actor, config: RunConfig) -> None:
    """The clone's rollouts count, so that a small budget can be spent before anything is learned."""
    spent, budget = actor.robot_seconds / 60, config.train.robot_minutes
    if spent >= budget:
        counted = ", rollouts counted," if config.algorithm.pretrained else ""
        say(
            f"no online episode: {spent:.1f} robot minutes are spent{counted} of --robot-minutes {budget:g}; "
            "give more to learn more"
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


def train_synchronously(config: RunConfig, run: RunDirectory, robot: Robot, operator: Operator | None = None) -> None:
    """Episode, updates, episode, updates: deterministic, and what benchmark cells use."""
    loop = build_learner(config, run)
    loop.publish()
    actor = build_actor(config, run, robot, operator)
    _say_if_spent(actor, config)
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


def train_in_processes(config: RunConfig, run: RunDirectory, robot: Robot, operator: Operator | None = None) -> None:
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
        torch.set_num_threads(1)
        while not learner.is_ready(patience=0.2):
            _require_alive(process.exitcode, run)
        actor = build_actor(config, run, robot, operator)
        _say_if_spent(actor, config)
        # The garbage collector would take two control periods and more to look at all that torch leaves alive.
        gc.collect()
        gc.freeze()
        with shown.bar:
            while actor.robot_seconds < 60 * config.train.robot_minutes:
                _wait_for_policy(actor, config.algorithm.pace.updates_per_step, process, run)
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


def _wait_for_policy(actor: Actor, updates_per_step: float, learner: BaseProcess, run: RunDirectory) -> None:
    """Let no episode begin with a policy that is too far behind what the robot has done, and say so if none comes."""
    lead, heard, told = actor.lead(updates_per_step), time.monotonic(), False
    while lead > _SLACK_UPDATES:
        _require_alive(learner.exitcode, run)
        time.sleep(0.05)
        newer = actor.lead(updates_per_step)
        if newer < lead:
            lead, heard = newer, time.monotonic()
        elif not told and time.monotonic() - heard > _SILENT_SECONDS:
            told = True
            say(
                f"no new policy for {_SILENT_SECONDS:.0f} s: the robot waits for the learner (process {learner.pid}), "
                "which hangs or has too little processor time"
            )
    _require_alive(learner.exitcode, run)


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
