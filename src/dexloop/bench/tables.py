"""Cells as Markdown tables, with intervals, beside what the paper reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from dexloop.bench.conditions import TABLE_1, TABLE_2
from dexloop.bench.results import Entry
from dexloop.report.statistics import bootstrap_mean, wilson_interval

_ORDER = ("bc", "act", "rlpd", "iborl_ablated", "iborl_paper", "iborl_policy", "iborl", "undisturbed")


@dataclass(frozen=True, slots=True)
class Pooled:
    """One policy on one task over its run seeds.

    each: successes of every seed. interval: 95 %, of the success rate; over seeds and trials by bootstrap where there
    are several seeds, else Wilson's. steps: mean steps of the successful trials with their interval, None without any.
    """

    task: str
    policy: str
    seeds: tuple[int, ...]
    successes: int
    trials: int
    each: tuple[int, ...]
    interval: tuple[float, float]
    steps: tuple[float, float, float] | None
    robot_minutes: float

    @property
    def rate(self) -> float:
        """Successes over trials."""
        return self.successes / self.trials


def pool(entries: Sequence[Entry]) -> list[Pooled]:
    """Every task and policy that there are cells of, policies in the tables' order."""
    tasks = {task: index for index, task in enumerate(TABLE_1)}
    policies = {policy: index for index, policy in enumerate(_ORDER)}

    def place(entry: Entry) -> tuple[int, str, int, str, int]:
        task, policy = entry["task"], entry["policy"]
        return tasks.get(task, len(tasks)), task, policies.get(policy, len(policies)), policy, entry["seed"]

    ordered = sorted(entries, key=place)
    return [_pooled(list(cells)) for _, cells in groupby(ordered, key=lambda entry: place(entry)[:4])]


def _pooled(cells: Sequence[Entry]) -> Pooled:
    outcomes = [[step is not None for step in cell["steps"]] for cell in cells]
    done = [[step for step in cell["steps"] if step is not None] for cell in cells]
    good, trials = sum(map(sum, outcomes)), sum(map(len, outcomes))
    several = len(cells) > 1 and 0 < good < trials
    return Pooled(
        task=cells[0]["task"],
        policy=cells[0]["policy"],
        seeds=tuple(cell["seed"] for cell in cells),
        successes=good,
        trials=trials,
        each=tuple(map(sum, outcomes)),
        interval=bootstrap_mean(outcomes)[1:] if several else wilson_interval(good, trials),
        # A seed without a success has no steps; the others' are the mean of those that can.
        steps=bootstrap_mean([d for d in done if d]) if any(done) else None,
        robot_minutes=max(cell["robot_minutes"] for cell in cells),
    )


def table_1(entries: Sequence[Entry]) -> str:
    """Conditions: demonstrations, resets, training time and the classifier's held-out accuracy, beside the paper's."""
    rows: list[Sequence[str]] = []
    for task, given in TABLE_1.items():
        cells = [e for e in entries if e["task"] == task]
        ours = [e for e in cells if e["policy"] == "iborl"]
        measured = [e["classifier"] for e in ours if e["classifier"]]
        minutes = [e["robot_minutes"] for e in ours]
        steps = [s for e in cells if e["policy"] == "bc" for s in e["demonstration_steps"]]
        rows.append(
            (
                task,
                str(given.demonstrations),
                f"{np.mean(steps):.1f}" if steps else "–",
                given.reset,
                f"{max(minutes):.0f}" if minutes else "–",
                f"{given.paper_minutes:.0f}",
                _shares([c["accuracy"] for c in measured]),
                f"{100 * given.paper_accuracy:.0f} %",
                _numbers([c["false_positives_per_failed_episode"] for c in measured]),
            )
        )
    return _markdown(
        (
            "task",
            "demonstrations",
            "their steps",
            "reset",
            "robot minutes",
            "paper's",
            "classifier accuracy",
            "paper's",
            "false successes a failed episode",
        ),
        rows,
    )


def _shares(values: Sequence[float]) -> str:
    return ", ".join(f"{100 * v:.1f}" for v in values) + " %" if values else "–"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.2f}" for v in values) if values else "–"


def table_2(entries: Sequence[Entry]) -> str:
    """Success and cycle time of every policy on every task, then the means and sums over the tasks."""
    pooled = pool(entries)
    rows: list[Sequence[str]] = []
    for cell in pooled:
        paper = TABLE_2.get((cell.task, cell.policy))
        rows.append(
            (
                cell.task,
                f"`{cell.policy}`",
                _success(cell),
                _interval(cell),
                *_steps(cell),
                f"{cell.robot_minutes:.0f}",
                "–" if paper is None else f"{100 * paper.success:g} %",
                "–" if paper is None or paper.steps is None else f"{paper.steps:.1f}",
            )
        )
    heads = ("task", "policy", "success", "95 % interval", "steps", "95 % interval", "robot minutes")
    return _markdown((*heads, "paper: success", "steps"), rows) + _over_tasks(pooled)


def _over_tasks(pooled: Sequence[Pooled]) -> str:
    """One line for each policy that there is on all of the paper's tasks."""
    lines: list[str] = []
    for policy in _ORDER:
        cells = [p for p in pooled if p.policy == policy and p.task in TABLE_1]
        if len(cells) < len(TABLE_1):
            continue
        steps = [c.steps[0] for c in cells if c.steps is not None]
        total = f"{sum(steps):.1f}" if len(steps) == len(cells) else "–"
        rate = 100 * float(np.mean([c.rate for c in cells]))
        lines.append(f"`{policy}` over the four tasks: success {rate:.1f} %, sum of the steps {total}.")
    return "\n" + "\n".join(lines) + "\n" if lines else ""


def robustness_table(entries: Sequence[Entry]) -> str:
    """Success and steps under each disturbance, one row a task and disturbance."""
    rows = [(cell.task, cell.policy, _success(cell), _interval(cell), *_steps(cell)) for cell in pool(entries)]
    return _markdown(("task", "disturbance", "success", "95 % interval", "steps", "95 % interval"), rows)


def ablation_table(entries: Sequence[Entry]) -> str:
    """Success and steps after so many robot minutes, one row a task and change."""
    minutes = sorted({round(m["robot_minutes"]) for e in entries for m in e.get("milestones", ())})
    rows: list[Sequence[str]] = []
    for task, policy, cells in _by_task_and_policy(entries):
        columns: list[str] = []
        for minute in minutes:
            there = [m for e in cells for m in e.get("milestones", ()) if round(m["robot_minutes"]) == minute]
            columns.append("; ".join(_milestone(m) for m in there) or "–")
        rows.append((task, f"`{policy}`", ", ".join(str(e["seed"]) for e in cells), *columns))
    return _markdown(("task", "setting", "run seeds", *(f"{m} min" for m in minutes)), rows)


def _by_task_and_policy(entries: Sequence[Entry]) -> list[tuple[str, str, list[Entry]]]:
    ordered = sorted(entries, key=lambda e: (e["task"], e["policy"] != "iborl", e["policy"], e["seed"]))
    return [(*k, list(g)) for k, g in groupby(ordered, key=lambda e: (str(e["task"]), str(e["policy"])))]


def _milestone(milestone: dict[str, Any]) -> str:
    steps = milestone["mean_steps"]
    return f"{milestone['successes']}/{milestone['trials']}" + (f", {steps:.1f}" if steps is not None else "")


def _success(cell: Pooled) -> str:
    each = f" ({', '.join(map(str, cell.each))})" if len(cell.each) > 1 else ""
    return f"{cell.successes}/{cell.trials} = {100 * cell.rate:.1f} %{each}"


def _interval(cell: Pooled) -> str:
    low, high = cell.interval
    return f"{100 * low:.1f}–{100 * high:.1f} %"


def _steps(cell: Pooled) -> tuple[str, str]:
    if cell.steps is None:
        return "–", "–"
    mean, low, high = cell.steps
    return f"{mean:.1f}", f"{low:.1f}–{high:.1f}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
