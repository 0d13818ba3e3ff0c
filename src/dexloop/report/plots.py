"""The report's curves: what is drawn of a run's metrics, and what is said about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes

from dexloop.report.drawing import (
    FIRST,
    INK,
    SECOND,
    SHARES,
    add_legend,
    new_figure,
    new_panels,
    share_axis,
    style,
    to_svg,
)
from dexloop.report.records import Metrics, Table, as_mapping, number
from dexloop.report.statistics import Float64Array, rolling_mean, wilson_interval

WINDOW = 20
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
    evaluations: Float64Array


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


def precision_recall(reward: Mapping[str, Any]) -> Plot | None:
    """Precision against recall over all thresholds, from ``pr_curve`` of reward/metrics.json.

    The curve is a list of {precision, recall} or an object with the two lists.
    """
    points = Table(tuple(as_mapping(point) for point in _points(reward.get("pr_curve"))))
    recall, precision = points.column("recall"), points.column("precision")
    if not _known(recall, precision):
        return None
    chosen = number(reward.get("recall")), number(reward.get("precision"))
    with style():
        figure, axes = new_figure("Recall", "Precision")
        axes.plot(recall, precision, color=FIRST)
        if chosen[0] is not None and chosen[1] is not None:
            axes.plot(chosen[0], chosen[1], "o", color=SECOND, ms=4.5, label="threshold in use")
            add_legend(axes)
        share_axis(axes)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xticks(*SHARES)
        svg = to_svg(figure, "Precision against recall")
    return Plot("Precision and recall", "Held-out frames, over all thresholds.", svg)


def _points(curve: object) -> list[Any]:
    """A curve as a list of points, from either form; empty for anything else."""
    match curve:
        case {"recall": list(recall), "precision": list(precision)} if len(recall) == len(precision):
            pairs = zip(recall, precision, strict=True)
            return [{"recall": across, "precision": up} for across, up in pairs]
        case list():
            return cast("list[Any]", curve)
        case _:
            return []


def _axis(metrics: Metrics) -> _Axis:
    steps, minutes = metrics.episodes.column("step"), metrics.episodes.column("robot_minutes")
    known = np.isfinite(steps) & np.isfinite(minutes)
    if not known.any():
        tables = (metrics.episodes, metrics.updates, metrics.evaluations)
        return _Axis("Control steps", *(table.column("step") for table in tables))
    order = np.argsort(steps[known], kind="stable")
    clock = np.concatenate([[0.0], steps[known][order]]), np.concatenate([[0.0], minutes[known][order]])

    def at(table: Table) -> Float64Array:
        own = table.column("robot_minutes")
        return np.where(np.isfinite(own), own, np.interp(table.column("step"), *clock))

    return _Axis("Robot time [min]", minutes, at(metrics.updates), at(metrics.evaluations))


def _success(metrics: Metrics, axis: _Axis) -> Plot | None:
    judged, true = metrics.episodes.column("success"), metrics.episodes.column("true_success")
    rate = metrics.evaluations.column("success_rate")
    if not _known(axis.episodes, judged) and not _known(axis.evaluations, rate):
        return None
    figure, axes = new_figure(axis.label, "Success rate")
    least = min(5, len(judged))
    caption = f"Line: mean of the last {WINDOW} training episodes, as the reward judged them"
    axes.plot(axis.episodes, rolling_mean(judged, WINDOW, least), color=FIRST, label="training, judged")
    if _known(axis.episodes, true) and not np.array_equal(judged, true):
        mean = rolling_mean(true, WINDOW, least)
        axes.plot(axis.episodes, mean, color=FIRST, lw=1.2, ls=(0, (2, 1.5)), label="training, true")
        caption += " and as they truly were"
    if _known(axis.evaluations, rate):
        _evaluation_bars(axes, axis.evaluations, rate, metrics.evaluations.column("trials"))
        caption += "; dots: evaluations without exploration, with 95 % intervals"
    share_axis(axes)
    add_legend(axes)
    return Plot("Success", caption + ".", to_svg(figure, "Success rate over training"))


def _evaluation_bars(axes: Axes, place: Float64Array, rate: Float64Array, trials: Float64Array) -> None:
    axes.plot(place, rate, "o", color=SECOND, ms=4.5, label="evaluation")
    for x, share, count in zip(place, rate, trials, strict=True):
        if np.isfinite([x, share, count]).all() and count >= 1 and 0 <= share <= 1:
            low, high = wilson_interval(round(share * round(count)), round(count))
            axes.plot([x, x], [low, high], color=SECOND, lw=1.2)


def _steps_to_success(metrics: Metrics, axis: _Axis) -> Plot | None:
    judged, true = metrics.episodes.column("success"), metrics.episodes.column("true_success")
    won = np.where(np.isfinite(true), true, judged) > 0.5
    length = np.where(won, metrics.episodes.column("length"), np.nan)
    evaluated = metrics.evaluations.column("mean_steps")
    if not _known(axis.episodes, length) and not _known(axis.evaluations, evaluated):
        return None
    figure, axes = new_figure(axis.label, "Control steps to success")
    axes.plot(*_thinned(axis.episodes, length), ".", color=FIRST, alpha=0.3, ms=4, mew=0)
    mean = rolling_mean(length, WINDOW, min(5, int(won.sum())))
    axes.plot(axis.episodes, mean, color=FIRST, label="training")
    if _known(axis.evaluations, evaluated):
        axes.plot(axis.evaluations, evaluated, "o", color=SECOND, ms=4.5, label="evaluation")
    axes.set_ylim(bottom=0)
    add_legend(axes)
    caption = f"Successful episodes only; the line is their mean over the last {WINDOW} episodes."
    return Plot("Steps to success", caption, to_svg(figure, "Control steps to success over training"))


def _calibration(updates: Table, axis: _Axis) -> Plot | None:
    lines = (
        ("q_mean", "critic", {"color": FIRST}),
        ("return_mean", "what came", {"color": SECOND}),
        ("q_data", "critic, demonstrations", {"color": INK, "lw": 1.0}),
        ("q_demonstrations", "critic, demonstrations", {"color": INK, "lw": 1.0}),
    )
    caption = "What the critic promises for states of the replay, and the discounted return that followed them."
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
    caption = "In a second of wall-clock time; simulation may run faster than a robot would."
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
