"""Picture strips: one row of pictures an episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dexloop.config import RunConfig
from dexloop.core import Policy, Robot
from dexloop.data.dataset import EpisodeDataset
from dexloop.episode import run_episode
from dexloop.errors import DexloopError
from dexloop.gates.human import HumanGate
from dexloop.networks.storage import load_agent
from dexloop.pipeline.robots import open_robot
from dexloop.pipeline.run import Run
from dexloop.pipeline.showcase import RecordedActions
from dexloop.pipeline.verbs import open_run
from dexloop.rewards.environment import EnvironmentReward
from dexloop.seeds import Purpose, episode_seed
from dexloop.sim.scene import CAMERAS
from dexloop.types import Episode, Observation

_PIXELS = 160
_AFTER, _BEFORE = "#2a9d3a", "#bbbbbb"
_TRIALS = 10


@dataclass(frozen=True, slots=True)
class Strip:
    """An episode, the configuration whose robot it was made with, and when to show it [s]."""

    config: RunConfig
    episode: Episode
    moments: Sequence[float]


def run_strips(run: Path, out: Path, every: float = 1.0, pictures: int = 7, trial: int = 0) -> None:
    """Draw a demonstration, the clone and the policy of a trained run at the same moments of their episodes.

    every: time between two pictures [s]. trial: which of the test seeds the two policies are shown on.
    """
    target = open_run(run)
    episodes = {"demonstration": EpisodeDataset.open(target.directory.demos).episode(trial)}
    for name, path in (("clone", target.directory.prior), (target.config.algorithm.name, target.directory.policy)):
        episodes[name] = _trial(target.robot, target.config, load_agent(path).agent, trial)
    moments = [every * index for index in range(pictures)]
    draw_strips({name: Strip(target.config, e, moments) for name, e in episodes.items()}, out, CAMERAS[:1])


def figure_3(policies: Mapping[str, Run], out: Path, pictures: int = 4) -> None:
    """Draw each task's trained policy from the start to success, through both cameras.

    policies: a trained run for each task. Of its first ten test trials the one that is shown has the median steps of
    those that succeed. Raises DexloopError when none does.
    """
    strips: dict[str, Strip] = {}
    for task, run in policies.items():
        episode = _usual_success(run)
        seconds = len(episode) / run.robot.spec.control_hz
        strips[task] = Strip(run.config, episode, np.linspace(0.0, seconds, pictures).tolist())
    draw_strips(strips, out, CAMERAS)


def _usual_success(run: Run) -> Episode:
    agent = load_agent(run.directory.policy).agent
    done = [episode for trial in range(_TRIALS) if (episode := _trial(run.robot, run.config, agent, trial)).success]
    if not done:
        raise DexloopError(f"{run.directory.root}: no success in its first ten test trials; there is nothing to show")
    return sorted(done, key=len)[(len(done) - 1) // 2]


def _trial(robot: Robot, config: RunConfig, policy: Policy, trial: int) -> Episode:
    seed = episode_seed(Purpose.TEST, config.seed, trial)
    return run_episode(robot, policy, EnvironmentReward(), HumanGate(), seed=seed)


def draw_strips(strips: Mapping[str, Strip], out: Path, cameras: Sequence[str]) -> None:
    """One row an episode, done again from its seed with larger pictures; green frames are after success.

    strips: by what stands beside them, each with as many moments. cameras: whose pictures stand side by side. Raises
    DexloopError for a run without pictures.
    """
    for strip in strips.values():
        check_has_pictures(strip.config.observation)
    columns = max(len(strip.moments) for strip in strips.values())
    figure = Figure(figsize=(1.35 * columns * len(cameras), 1.6 * len(strips)))
    grid = figure.subplots(len(strips), columns, squeeze=False)
    for axes, (name, strip) in zip(grid, strips.items(), strict=True):
        _draw_row(list(axes), strip, cameras)
        axes[0].set_ylabel(name, fontsize=9)
    figure.tight_layout(pad=0.4)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


def check_has_pictures(observation: str) -> None:
    """Raise DexloopError for policies that see the simulation's state: nothing of theirs can be drawn."""
    if observation == "privileged":
        raise DexloopError("--observation privileged has no pictures to draw; it needs --observation images")


def _draw_row(cells: list[Any], strip: Strip, cameras: Sequence[str]) -> None:
    config, episode = strip.config, strip.episode
    robot = open_robot(replace(config, sim=replace(config.sim, image_size=_PIXELS)))
    hz = robot.spec.control_hz
    again = run_episode(
        robot,
        RecordedActions(episode),
        EnvironmentReward(),
        HumanGate(),
        seed=episode.seed,
        tail_steps=round(max(strip.moments) * hz),
    )
    robot.close()
    seen = [t.observation for t in again.transitions] + [again.transitions[-1].next_observation]
    steps = next((i + 1 for i, t in enumerate(again.transitions) if t.success), None)
    for axes, moment in zip(cells, strip.moments, strict=True):
        index = min(round(moment * hz), len(seen) - 1)
        axes.imshow(_side_by_side(seen[index], cameras))
        axes.set_title(f"{moment:.1f} s", fontsize=8, pad=4)
        axes.set_xticks([])
        axes.set_yticks([])
        held = steps is not None and index >= steps
        for side in axes.spines.values():
            side.set(color=_AFTER if held else _BEFORE, linewidth=3 if held else 0.8)


def _side_by_side(observation: Observation, cameras: Sequence[str]) -> np.ndarray:
    return np.concatenate([observation.images[camera] for camera in cameras], axis=1)
