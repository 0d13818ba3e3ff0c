"""Run one cell: first the base that it shares with other cells, then its own learning and its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dexloop.bench.cell import Cell
from dexloop.bench.results import cell_path, write_cell
from dexloop.bench.reuse import check_policy_of, has_trials_of, of_base, of_learning, reopened
from dexloop.config import RunConfig, TrainConfig, config_to_json
from dexloop.core import Policy
from dexloop.data.dataset import EpisodeDataset
from dexloop.networks.act_storage import load_act
from dexloop.networks.storage import load_agent
from dexloop.pipeline.evaluate import Evaluation, evaluate_policy, steps_to_success
from dexloop.pipeline.robots import open_robot, training_reward
from dexloop.pipeline.run import Run
from dexloop.pipeline.verbs import begin, fork, open_run
from dexloop.presets import IBORL
from dexloop.progress import say
from dexloop.runtime.metrics import read_metrics
from dexloop.runtime.run_directory import host_facts
from dexloop.seeds import Purpose


def run_cell(cell: Cell, runs: Path, results: Path, command: str) -> None:
    """Run what is missing of a cell, and write its file below ``results``.

    runs: where run directories go; a cell that was interrupted goes on in its own. command: the command line, which the
    file names. Raises DexloopError where a run directory was begun with other settings.
    """
    base = ready_base(cell.trained or cell, runs)
    say(f"cell {cell.name}")
    if cell.trained is not None:
        entry = _tried(cell, cell.trained, base, runs)
    elif cell.learns_online:
        entry = _learned(cell, base, runs)
    elif cell.policy == "act":
        entry = _chunked(cell, base)
    else:
        policy = load_agent(base.directory.prior).agent
        entry = _result(_on(base, cell), base, policy, 0.0)
    # Trials that an older version left in a milestone do not say when and where they were made.
    write_cell(cell_path(results, cell), {**host_facts(), **entry, "command": command})


def ready_base(cell: Cell, runs: Path) -> Run:
    """The run with the demonstrations, clone, rollouts and classifier of a cell; what is missing of it is made."""
    root, config = runs / "bases" / cell.base, _shared(cell.config)
    run = reopened(root, config, of_base) or begin(config.task, root, config, resume=False)
    # Older versions gave it the reward of the cell that began it.
    run.config = replace(run.config, reward=config.reward)
    run.record()
    run.pretrain()
    run.collect_rollouts()
    run.train_reward()
    run.distil()
    return run


def _shared(config: RunConfig) -> RunConfig:
    """The configuration of a cell's base, which is the same for all cells that share it."""
    return replace(
        config,
        algorithm=replace(IBORL, name="base"),
        # A cell that learns from the simulation's word can ignore a classifier; others need it.
        reward="classifier" if config.observation == "images" else "simulation",
        trials=1,
        train=TrainConfig(robot_minutes=0.0),
    )


def _on(base: Run, cell: Cell) -> Cell:
    """The cell with the settings that its base really has: one of an older version lacks newer ones."""
    own = cell.config
    config = replace(base.config, algorithm=own.algorithm, reward=own.reward, trials=own.trials, train=own.train)
    return replace(cell, config=config)


def _tried(cell: Cell, trained: Cell, base: Run, runs: Path) -> dict[str, Any]:
    """Try a policy that was trained under other conditions."""
    _learned(trained, base, runs)
    source = open_run(cell_directory(trained, runs))
    own = cell.config
    config = _with_budget(replace(source.config, sim=own.sim, trials=own.trials), own.train.robot_minutes)
    run = Run(source.directory, config, open_robot(config))
    policy = load_agent(source.directory.policy).agent
    return _result(replace(cell, config=config), run, policy, source.robot_minutes())


def cell_directory(cell: Cell, runs: Path) -> Path:
    """The run directory of a cell that learns online."""
    return runs / "cells" / cell.base / cell.policy


def _learned(cell: Cell, base: Run, runs: Path) -> dict[str, Any]:
    """Train, with an evaluation at each milestone (the first is the clone's), and evaluate what comes out."""
    directory, own = cell_directory(cell, runs), _on(base, cell).config
    run = reopened(directory, own, of_learning) or fork(base, own, directory)
    budget = own.train.robot_minutes
    cell = replace(cell, config=_with_budget(replace(run.config, trials=own.trials), budget))
    milestones = [_cloned(cell, base, directory)] if cell.milestones else []
    milestones += [_milestone(cell, run, minutes) for minutes in (*cell.milestones, budget)]
    on_the_way = [{k: e[k] for k in ("robot_minutes", "successes", "trials", "mean_steps")} for e in milestones]
    return {**milestones[-1], "milestones": on_the_way, "curve": learning_curve(run.directory.metrics.path)}


def _with_budget(config: RunConfig, robot_minutes: float) -> RunConfig:
    return replace(config, train=replace(config.train, robot_minutes=robot_minutes))


def _milestone(cell: Cell, run: Run, minutes: float) -> dict[str, Any]:
    """Trials of the policy as it is after so many robot minutes; what is missing of its training is done first."""
    kept = run.directory.root / "milestones" / f"{minutes:g}.json"
    if kept.is_file() and has_trials_of(found := run.directory.read_json(kept), cell):
        return found
    check_policy_of(run, minutes)
    if not kept.is_file():
        run.config = _with_budget(cell.config, minutes)
        run.train()
    entry = _result(cell, run, load_agent(run.directory.policy).agent, run.robot_minutes())
    run.directory.write_json(kept, entry)
    return entry


def _cloned(cell: Cell, base: Run, directory: Path) -> dict[str, Any]:
    """The trials of the clone that learning begins with, as the milestone before any online episode.

    Its robot minutes are 0 also where rollouts taught it: later milestones count them, and this one is before all.
    """
    kept = directory / "milestones" / "0.json"
    if kept.is_file() and has_trials_of(found := base.directory.read_json(kept), cell):
        return found
    start = base.directory.start
    clone = replace(cell, policy="bc" if start == base.directory.prior else "distilled")
    entry = _result(clone, base, load_agent(start).agent, 0.0)
    base.directory.write_json(kept, entry)
    return entry


def _chunked(cell: Cell, base: Run) -> dict[str, Any]:
    """Evaluate the chunking policy, trained first where it is not there; "act" says how."""
    base.learn_act()
    stored = load_act(base.directory.act)
    entry = _result(_on(base, cell), base, stored.agent, 0.0)
    return {**entry, "act": {**asdict(stored.architecture), **stored.facts}}


def _result(cell: Cell, run: Run, policy: Policy, robot_minutes: float) -> dict[str, Any]:
    """Trials of a policy: the fields of an ``evaluation.json`` entry, and with what, when and where they were made."""
    config = cell.config
    seeds = cell.purpose.name.lower()
    entry = run.entry(cell.policy, _evaluated(cell, run, policy), robot_minutes, trial_seeds=seeds)
    # So that the report of a cell's run directory has it too; its reader takes trials for those of test seeds.
    shown = cell.policy if cell.purpose is Purpose.TEST else f"{cell.policy} ({seeds} trials)"
    run.directory.add_evaluation({**entry, "policy": shown})
    demos = EpisodeDataset.open(run.directory.demos)
    metrics = run.directory.reward / "metrics.json"
    return {
        **entry,
        "reset": config.sim.reset,
        "demonstrations": len(demos),
        "demonstration_steps": [steps_to_success(demos.episode(i, late=True)) for i in demos.episodes],
        "classifier": run.directory.read_json(metrics) if metrics.is_file() else None,
        "config": config_to_json(config),
        **host_facts(),
    }


def _evaluated(cell: Cell, run: Run, policy: Policy) -> Evaluation:
    classifier = None
    if cell.config.reward == "classifier":
        classifier = training_reward(cell.config, run.directory, run.robot.spec)
    return evaluate_policy(
        cell.config,
        run.robot,
        policy,
        cell.config.trials,
        purpose=cell.purpose,
        classifier=classifier,
        label=f"evaluate {cell.name}",
    )


def learning_curve(metrics: Path) -> dict[str, list[Any]]:
    """An online run as columns: the outcome of every episode, and what the critics said at every logged update.

    An update's robot minutes are those of the last episode before it, and 0 before the first.
    """
    episodes: dict[str, list[Any]] = {k: [] for k in ("robot_minutes", "success", "true_success", "length")}
    updates: dict[str, list[Any]] = {k: [] for k in ("robot_minutes", "updates", "bc_weight", "q_mean", "return_mean")}
    minutes = 0.0
    for record in read_metrics(metrics):
        if record["kind"] == "episode":
            minutes = record["robot_minutes"]
            _append(episodes, record, minutes)
        elif record["kind"] == "update":
            _append(updates, record, minutes)
    return {f"episode_{k}": v for k, v in episodes.items()} | {f"update_{k}": v for k, v in updates.items()}


def _append(columns: dict[str, list[Any]], record: Mapping[str, Any], minutes: float) -> None:
    for name, column in columns.items():
        value = minutes if name == "robot_minutes" else record.get(name)
        column.append(round(value, 4) if isinstance(value, float) else value)
