"""The report's curves: what is drawn of a run's metrics, and what is said about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dexloop.report.drawing import (
    FIRST,
    INK,
    SECOND,
    add_legend,
    new_figure,
    new_panels,
    share_axis,
    style,
    to_svg,
)
from dexloop.report.records import Metrics, Table
from dexloop.report.statistics import Float64Array, rolling_mean

_WINDOW = 20
_MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing and what is said under it; svg is markup made here, safe to put into a page."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class _Axis:
    """The common horizontal axis: robot minutes where the run counted them, control steps otherwise."""

    label: str
    episodes: Float64Array
    updates: Float64Array


def curves(metrics: Metrics) -> list[Plot]:
    """The plots that the metrics have numbers for, in the order a reader wants them."""
    axis = _axis(metrics)
    with style():
        drawn = (
            _success(metrics, axis),
            _steps_to_success(metrics, axis),
            _calibration(metrics.updates, axis),
            _cloning_weight(metrics.updates, axis),
            _speed(metrics, axis),
        )
    return [plot for plot in drawn if plot is not None]


def _axis(metrics: Metrics) -> _Axis:
    steps, minutes = metrics.episodes.column("step"), metrics.episodes.column("robot_minutes")
    known = np.isfinite(steps) & np.isfinite(minutes)
    if not known.any():
        return _Axis("Control steps", steps, metrics.updates.column("step"))
    order = np.argsort(steps[known], kind="stable")
    clock = np.concatenate([[0.0], steps[known][order]]), np.concatenate([[0.0], minutes[known][order]])
    return _Axis("Robot time [min]", minutes, np.interp(metrics.updates.column("step"), *clock))


def _success(metrics: Metrics, axis: _Axis) -> Plot | None:
    judged, true = metrics.episodes.column("success"), metrics.episodes.column("true_success")
    if not _known(axis.episodes, judged):
        return None
    figure, axes = new_figure(axis.label, "Success rate")
    least = min(5, len(judged))
    caption = f"Mean of the last {_WINDOW} training episodes, as the reward judged them"
    axes.plot(axis.episodes, rolling_mean(judged, _WINDOW, least), color=FIRST, label="judged by the reward")
    if _known(axis.episodes, true) and not np.array_equal(judged, true):
        mean = rolling_mean(true, _WINDOW, least)
        axes.plot(axis.episodes, mean, color=FIRST, lw=1.2, ls=(0, (2, 1.5)), label="judged by the simulation")
        caption += " and as the simulation did"
    share_axis(axes)
    add_legend(axes)
    return Plot("Success", caption + ".", to_svg(figure, "Success rate over training"))


def _steps_to_success(metrics: Metrics, axis: _Axis) -> Plot | None:
    judged, true = metrics.episodes.column("success"), metrics.episodes.column("true_success")
    won = np.where(np.isfinite(true), true, judged) > 0.5
    length = np.where(won, metrics.episodes.column("length"), np.nan)
    if not _known(axis.episodes, length):
        return None
    figure, axes = new_figure(axis.label, "Control steps to success")
    axes.plot(*_thinned(axis.episodes, length), ".", color=FIRST, alpha=0.3, ms=4, mew=0)
    axes.plot(axis.episodes, rolling_mean(length, _WINDOW, min(5, int(won.sum()))), color=FIRST)
    axes.set_ylim(bottom=0)
    caption = f"Successful training episodes only; the line is their mean over the last {_WINDOW} episodes."
    return Plot("Steps to success", caption, to_svg(figure, "Control steps to success over training"))


def _calibration(updates: Table, axis: _Axis) -> Plot | None:
    lines = (
        ("q_mean", "critic", {"color": FIRST}),
        ("return_mean", "observed", {"color": SECOND}),
        ("q_demonstrations", "critic, demonstrations", {"color": INK, "lw": 1.0}),
    )
    caption = "The discounted return that the critic expects from states of the replay, and the one that followed them."
    shown = _lines(updates, axis, "Discounted return", lines)
    return Plot("Calibration of the critic", caption, shown) if shown else None


def _cloning_weight(updates: Table, axis: _Axis) -> Plot | None:
    shown = _lines(updates, axis, "Weight \N{GREEK SMALL LETTER LAMDA}", (("bc_weight", "", {"color": FIRST}),))
    caption = "How strongly the actor is held to the cloned policy: how often the critics prefer it to the policy."
    return Plot("Pull towards the clone", caption, shown) if shown else None


def _speed(metrics: Metrics, axis: _Axis) -> Plot | None:
    rates = (
        ("Updates [1/s]", FIRST, axis.updates, metrics.updates.column("updates_per_second")),
        ("Control rate [Hz]", SECOND, axis.episodes, metrics.episodes.column("control_hz")),
    )
    present = [rate for rate in rates if _known(*rate[2:])]
    if not present:
        return None
    figure, panels = new_panels(len(present))
    for panel, (label, colour, across, up) in zip(panels, present, strict=True):
        panel.plot(*_thinned(across, up), color=colour)
        # A run that stands still has rate 0, and an axis needs some height.
        panel.set_ylim(0, 1.15 * max(float(np.nanmax(up)), 0.1))
        panel.set_ylabel(label)
    panels[-1].set_xlabel(axis.label)
    caption = "Per second of wall-clock time; simulation may run faster than a robot would."
    return Plot("Speed", caption, to_svg(figure, "Updates per second and control rate"))


def _lines(table: Table, axis: _Axis, label: str, lines: Sequence[tuple[str, str, dict[str, Any]]]) -> str | None:
    present = [line for line in lines if _known(axis.updates, table.column(line[0]))]
    if not present:
        return None
    figure, axes = new_figure(axis.label, label)
    for name, title, look in present:
        axes.plot(*_thinned(axis.updates, table.column(name)), label=title or None, **look)
    if axes.dataLim.ymin >= 0.0:
        axes.set_ylim(bottom=0.0)
    add_legend(axes)
    return to_svg(figure, f"{label} over training")


def _thinned(x: Float64Array, y: Float64Array) -> tuple[Float64Array, Float64Array]:
    """At most 400 points: means over equal runs of the known ones, so that a long run stays a small file."""
    known = np.isfinite(x) & np.isfinite(y)
    run = max(int(np.ceil(known.sum() / _MOST_POINTS)), 1)
    starts = np.arange(0, known.sum(), run)
    sizes = np.diff(np.append(starts, known.sum()))
    if len(starts) == 0:
        return x[known], y[known]
    return np.add.reduceat(x[known], starts) / sizes, np.add.reduceat(y[known], starts) / sizes


def _known(x: Float64Array, y: Float64Array) -> bool:
    return bool((np.isfinite(x) & np.isfinite(y)).any())
