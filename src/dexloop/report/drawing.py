"""Figures as inline SVG that takes its colours and fonts from the page.

A figure is drawn once with stand-in colours that are then replaced by the page's CSS variables, so that
one drawing serves the light and the dark page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Near black, so that a figure opened without the page can still be read.
INK, GRID, FIRST, SECOND = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04"
_PAGE_COLOURS = {
    INK: "var(--muted)",
    GRID: "var(--rule)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dexloop",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.7,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "legend.columnspacing": 1.4,
}
SHARES = ([0.0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
_SIZE = (4.7, 3.1)


@contextmanager
def style() -> Generator[None, None, None]:
    """Everything between making a figure and ``to_svg`` happens inside this."""
    with rc_context(cast("dict[Any, Any]", _STYLE)):
        yield


def new_figure(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """One figure with one pair of axes; labels carry the units."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def new_panels(count: int) -> tuple[Figure, list[Axes]]:
    """One figure with ``count`` axes above each other on one horizontal axis."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    grid: np.ndarray[Any, Any] = figure.subplots(count, 1, sharex=True, squeeze=False)
    figure.align_ylabels()
    return figure, [cast(Axes, panel) for panel in grid[:, 0]]


def share_axis(axes: Axes) -> None:
    """A vertical axis of shares from 0 to 100 %, with room for a line that runs along an end."""
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks(*SHARES)


def add_legend(axes: Axes) -> None:
    """Name the lines above the axes, where they cover no data; nothing where no line has a name."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))


def to_svg(figure: Figure, description: str) -> str:
    """The figure as an <svg> element for a page that defines --muted, --rule, --first and --second."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    # An <svg> inside HTML needs no namespaces, and its size and fonts are the page's business.
    drawing = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawing, flags=re.DOTALL)
    opening = rf'<svg \1 role="img" aria-label="{description}">'
    drawing = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", opening, drawing, count=1)
    drawing = re.sub(r" font-family: [^;\"]*;", "", drawing)
    # Several figures share the page: groups lose names that would repeat, nothing refers to them.
    drawing = re.sub(r"<g id=\"[^\"]*\"", "<g", drawing)
    for stand_in, colour in _PAGE_COLOURS.items():
        drawing = drawing.replace(stand_in, colour)
    return drawing
