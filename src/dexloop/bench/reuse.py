"""What a cell may use of what earlier commands made: runs with the same settings, and trials of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dexloop.bench.cell import Cell
from dexloop.config import AlgorithmConfig, RunConfig, TrainConfig, differing, left_out, read_config
from dexloop.errors import DexloopError
from dexloop.pipeline.run import Run
from dexloop.pipeline.verbs import open_run
from dexloop.runtime.metrics import read_metrics
from dexloop.runtime.run_directory import RunDirectory


def of_base(config: RunConfig) -> RunConfig:
    """The part of a configuration that a base depends on, with fixed values for the rest: cells differ in that."""
    return replace(
        config,
        # Rollouts explore; nothing else of an algorithm matters before it learns.
        algorithm=AlgorithmConfig(exploration=config.algorithm.exploration),
        reward="simulation",
        trials=1,
        train=TrainConfig(),
    )


def of_learning(config: RunConfig) -> RunConfig:
    """The part of a configuration that learning depends on: a run may go on for longer, and be tried more often."""
    return replace(config, trials=1, train=replace(config.train, robot_minutes=0.0))


def reopened(root: Path, config: RunConfig, compared: Callable[[RunConfig], RunConfig]) -> Run | None:
    """The run at ``root``, or None where none was begun.

    compared: the part of its configuration that must be as in ``config``. A setting that is newer than the run is not
    compared; the run has its default. Raises DexloopError naming the run and the settings that differ.
    """
    directory = RunDirectory(root)
    if not directory.exists:
        return None
    directory.check_format()
    found = read_config(directory.config)
    others = differing(compared(found), compared(config)) - left_out(directory.config, found)
    if others:
        raise DexloopError(
            f"{root} was begun with other settings than this cell has now ({', '.join(sorted(others))}); remove that "
            "directory, or give another --runs"
        )
    return open_run(root)


def has_trials_of(entry: Mapping[str, Any], cell: Cell) -> bool:
    """Whether a milestone was tried as often as the cell asks for, and on seeds of the same purpose."""
    return entry["trials"] == cell.config.trials and entry["trial_seeds"] == cell.purpose.name.lower()


def check_policy_of(run: Run, minutes: float) -> None:
    """Raise DexloopError where a run went on learning after ``minutes`` robot minutes: the policy of then is gone."""
    spent = [r["robot_minutes"] for r in read_metrics(run.directory.metrics.path) if r["kind"] == "episode"]
    # The last episode may end later. Another one is begun only where there is time left.
    if len(spent) > 1 and spent[-2] >= minutes:
        raise DexloopError(
            f"{run.directory.root} has learned for {spent[-1]:.1f} robot minutes, and its policy after {minutes:g} is "
            "gone; remove that directory, or give another --runs"
        )
