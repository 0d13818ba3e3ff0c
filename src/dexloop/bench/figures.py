"""The paper's figures 3, 4 and 5, drawn from our cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dexloop.bench.conditions import TABLE_1
from dexloop.bench.results import Entry
from dexloop.bench.tables import pool
from dexloop.report.statistics import rolling_mean

_COLOURS = {
    "bc": "#9aa5b1",
    "act": "#d08c3f",
    "iborl": "#2563a8",
    "iborl_policy": "#2563a8",
    "iborl_paper": "#b3423a",
}
_NAMES = {"bc": "BC", "act": "ACT"}
_WITH_WEIGHT = ("iborl_paper", "iborl_policy")
"""The methods that learn a policy which lambda holds to the clone."""
_WINDOW = 20
_GRID = {"color": "#dddddd", "linewidth": 0.7}


def figure_4(entries: Sequence[Entry], path: Path) -> None:
    """Success and steps to success of BC, ACT and IBORL on each task, with 95 % intervals."""
    cells = [cell for cell in pool(entries) if cell.policy in ("bc", "act", "iborl")]
    tasks = [task for task in TABLE_1 if any(cell.task == task for cell in cells)]
    figure = Figure(figsize=(8.4, 3.3), layout="constrained")
    success, steps = figure.subplots(1, 2)
    policies = [policy for policy in ("bc", "act", "iborl") if any(cell.policy == policy for cell in cells)]
    for number, policy in enumerate(policies):
        for cell in (c for c in cells if c.policy == policy):
            x = tasks.index(cell.task) + (number - (len(policies) - 1) / 2) * 0.27
            first = next(c.task for c in cells if c.policy == policy)
            named = _NAMES.get(policy, policy) if cell.task == first else None
            _bar(success, x, cell.rate, *cell.interval, colour=_COLOURS[policy], label=named)
            if cell.steps is not None:
                _bar(steps, x, *cell.steps, colour=_COLOURS[policy], label=None)
    success.set_ylim(0, 1.03)
    success.yaxis.set_major_formatter(PercentFormatter(1.0))
    for axes, title in ((success, "Success rate"), (steps, "Control steps to success")):
        axes.set_xticks(range(len(tasks)), tasks)
        axes.set_title(title, fontsize=10)
        axes.grid(axis="y", **_GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=len(policies), frameon=False)
    _save(figure, path)


def _bar(axes: Axes, x: float, value: float, low: float, high: float, *, colour: str, label: str | None) -> None:
    axes.bar(x, value, width=0.24, color=colour, label=label)
    axes.plot([x, x], [low, high], color="#222222", linewidth=1.1)


def figure_5(entries: Sequence[Entry], path: Path) -> None:
    """The weight lambda and the success of the training episodes over robot time, in the paper's form and in ours."""
    shown = [e for e in entries if e["policy"] in _WITH_WEIGHT and e["seed"] == _first_seed(entries)]
    tasks = [task for task in TABLE_1 if any(e["task"] == task for e in shown)]
    figure = Figure(figsize=(2.6 * max(len(tasks), 1) + 0.6, 4.2), layout="constrained")
    grid = figure.subplots(2, max(len(tasks), 1), squeeze=False, sharex="col", sharey=True)
    for entry in shown:
        column, curve, policy = tasks.index(entry["task"]), entry["curve"], entry["policy"]
        look = {"color": _COLOURS[policy], "label": policy if column == 0 else None, "linewidth": 1.5}
        weight = np.array(curve["update_bc_weight"], float)
        minutes = np.array(curve["update_robot_minutes"])
        # Before the first episode the critics warm up, and no robot moves.
        known = np.isfinite(weight) & (minutes >= min(curve["episode_robot_minutes"], default=0.0))
        grid[0, column].plot(minutes[known], weight[known], **look)
        truth = np.array(curve["episode_true_success"], float)
        grid[1, column].plot(curve["episode_robot_minutes"], rolling_mean(truth, _WINDOW, 5), **look | {"label": None})
    for column, task in enumerate(tasks):
        grid[0, column].set_title(task, fontsize=10)
        grid[1, column].set_xlabel("Robot time [min]")
    grid[0, 0].set_ylabel("Weight λ")
    grid[1, 0].set_ylabel(f"Training success,\nmean of {_WINDOW}")
    for axes in grid.flat:
        axes.set_ylim(-0.03, 1.03)
        axes.grid(**_GRID)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    _save(figure, path)


def _first_seed(entries: Sequence[Entry]) -> int:
    """The seed that both forms were run with, where there is one."""
    seeds = [{e["seed"] for e in entries if e["policy"] == policy} for policy in _WITH_WEIGHT]
    common = seeds[0] & seeds[1] or seeds[0] | seeds[1]
    return min(common, default=0)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
