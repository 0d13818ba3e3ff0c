"""Picture strips of episodes: what was done, at the same moments one above the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from dexloop.types import Episode

_PIXELS = 160
_AFTER, _BEFORE = "#2a9d3a", "#bbbbbb"


def run_strips(run: Path, out: Path, every: float = 1.0, pictures: int = 7, trial: int = 0) -> None:
    """Draw a demonstration, the clone and the policy of a trained run at the same moments of their episodes.

    every: time between two pictures [s]. trial: which of the test seeds the two policies are shown on.
    """
    target = open_run(run)
    rows = {"demonstration": (target.config, EpisodeDataset.open(target.directory.demos).episode(trial))}
    for name, path in (("clone", target.directory.prior), (target.config.algorithm.name, target.directory.policy)):
        rows[name] = (target.config, _trial(target.robot, target.config, load_agent(path).agent, trial))
    draw_strips(rows, out, every, pictures)


def figure_3(policies: Mapping[str, Run], out: Path, pictures: int = 7) -> None:
    """Draw each task's trained policy from the start to success, on its first successful test trial.

    policies: a trained run for each task. Raises DexloopError when none of the first ten trials succeeds.
    """
    rows = {task: (run.config, _first_success(run)) for task, run in policies.items()}
    longest = max(len(episode) for _, episode in rows.values())
    hz = next(iter(policies.values())).robot.spec.control_hz
    draw_strips(rows, out, every=longest / hz / (pictures - 1), pictures=pictures)


def _first_success(run: Run) -> Episode:
    agent = load_agent(run.directory.policy).agent
    for trial in range(10):
        episode = _trial(run.robot, run.config, agent, trial)
        if episode.success:
            return episode
    raise DexloopError(f"{run.directory.root}: none of its first ten test trials succeeds; there is nothing to show")


def _trial(robot: Robot, config: RunConfig, policy: Policy, trial: int) -> Episode:
    seed = episode_seed(Purpose.TEST, config.seed, trial)
    return run_episode(robot, policy, EnvironmentReward(), HumanGate(), seed=seed)


def draw_strips(rows: Mapping[str, tuple[RunConfig, Episode]], out: Path, every: float, pictures: int) -> None:
    """One row an episode, done again from its seed with larger pictures; green frames are after success.

    rows: by what stands beside them, the configuration whose robot they were made with and the episode.
    """
    figure = Figure(figsize=(1.35 * pictures, 1.55 * len(rows)))
    grid = figure.subplots(len(rows), pictures, squeeze=False)
    for axes, (name, (config, episode)) in zip(grid, rows.items(), strict=True):
        _draw_row(list(axes), config, episode, every)
        axes[0].set_ylabel(name, fontsize=9)
    for column, axes in enumerate(grid[0]):
        axes.set_title(f"{column * every:.1f} s", fontsize=9)
    figure.tight_layout(pad=0.4)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


def _draw_row(cells: list[Any], config: RunConfig, episode: Episode, every: float) -> None:
    robot = open_robot(replace(config, sim=replace(config.sim, image_size=_PIXELS)))
    hz = robot.spec.control_hz
    tail = round(every * len(cells) * hz)
    again = run_episode(
        robot, RecordedActions(episode), EnvironmentReward(), HumanGate(), seed=episode.seed, tail_steps=tail
    )
    robot.close()
    seen = [t.observation for t in again.transitions] + [again.transitions[-1].next_observation]
    steps = next((i + 1 for i, t in enumerate(again.transitions) if t.success), None)
    for column, axes in enumerate(cells):
        index = min(round(column * every * hz), len(seen) - 1)
        axes.imshow(seen[index].images[min(seen[index].images)])
        axes.set_xticks([])
        axes.set_yticks([])
        held = steps is not None and index >= steps
        for side in axes.spines.values():
            side.set(color=_AFTER if held else _BEFORE, linewidth=3 if held else 0.8)
