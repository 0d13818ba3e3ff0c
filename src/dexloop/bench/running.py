"""Run one cell: what it shares with others once, then its own learning and its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dexloop.bench.cell import Cell
from dexloop.bench.results import cell_path, write_cell
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
    """Do what of a cell is not done yet, and write its file below ``results``.

    runs: where run directories go; a cell that was interrupted goes on in its own. command: what makes it, for people.
    """
    base = ready_base(cell, runs)
    say(f"cell {cell.name}")
    if cell.trained is not None:
        entry = _tried(cell, cell.trained, base, runs)
    elif cell.learns_online:
        entry = _learned(cell, base, runs)
    elif cell.policy == "act":
        entry = _chunked(cell, base)
    else:
        policy = load_agent(base.directory.prior).agent
        entry = _result(cell, base, policy, 0.0)
    write_cell(cell_path(results, cell), {**entry, **host_facts(), "command": command})


def ready_base(cell: Cell, runs: Path) -> Run:
    """The run with the demonstrations, clone, rollouts and classifier of a cell, made as far as they are missing."""
    # Whatever comes after them is the cell's own: a base is the same for all that share it.
    config = replace(cell.config, algorithm=replace(IBORL, name="base"), trials=1, train=TrainConfig(robot_minutes=0.0))
    run = _opened(runs / "bases" / cell.base, config)
    run.record()
    run.pretrain()
    run.collect_rollouts()
    run.train_reward()
    run.distil()
    return run


def _opened(directory: Path, config: RunConfig) -> Run:
    return begin(config.task, directory, config, resume=(directory / "config.json").is_file())


def _tried(cell: Cell, trained: Cell, base: Run, runs: Path) -> dict[str, Any]:
    """Try a policy that was trained under other conditions."""
    _learned(trained, base, runs)
    source = open_run(_directory(trained, runs))
    run = Run(source.directory, cell.config, open_robot(cell.config))
    return _result(cell, run, load_agent(source.directory.policy).agent, source.robot_minutes())


def _directory(cell: Cell, runs: Path) -> Path:
    """The run directory of an online cell."""
    return runs / "cells" / cell.base / cell.policy


def _learned(cell: Cell, base: Run, runs: Path) -> dict[str, Any]:
    """Train, with an evaluation at each milestone (the first is the clone's), and evaluate what comes out."""
    directory = _directory(cell, runs)
    run = open_run(directory) if (directory / "config.json").is_file() else fork(base, cell.config, directory)
    milestones = [_cloned(cell, base, directory)] if cell.milestones else []
    budget = cell.config.train.robot_minutes
    for minutes in (*cell.milestones, budget):
        run.config = replace(run.config, train=replace(run.config.train, robot_minutes=minutes))
        kept = directory / "milestones" / f"{minutes:g}.json"
        if kept.is_file():
            milestones.append(run.directory.read_json(kept))
            continue
        run.train()
        entry = _result(cell, run, load_agent(run.directory.policy).agent, run.robot_minutes())
        run.directory.write_json(kept, entry)
        milestones.append(entry)
    on_the_way = [{k: e[k] for k in ("robot_minutes", "successes", "trials", "mean_steps")} for e in milestones]
    return {**milestones[-1], "milestones": on_the_way, "curve": learning_curve(run.directory.metrics.path)}


def _cloned(cell: Cell, base: Run, directory: Path) -> dict[str, Any]:
    """The trials of the clone that learning begins with, as the milestone before any online episode.

    Its robot minutes are 0 also where rollouts taught it: later milestones count them, and this one is before all.
    """
    kept = directory / "milestones" / "0.json"
    if not kept.is_file():
        start = base.directory.start
        clone = replace(cell, policy="bc" if start == base.directory.prior else "distilled")
        base.directory.write_json(kept, _result(clone, base, load_agent(start).agent, 0.0))
    return base.directory.read_json(kept)


def _chunked(cell: Cell, base: Run) -> dict[str, Any]:
    """Evaluate the chunking policy, trained first where it is not there; "act" says how."""
    base.learn_act()
    stored = load_act(base.directory.act)
    entry = _result(cell, base, stored.agent, 0.0)
    return {**entry, "act": {**asdict(stored.architecture), **stored.facts}}


def _result(cell: Cell, run: Run, policy: Policy, robot_minutes: float) -> dict[str, Any]:
    """The fields of an ``evaluation.json`` entry, and under what conditions it came about."""
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
    """Columns over an online run: of every episode its outcome, of every logged update what the critics said.

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
