"""From timings to what is written down: items, ratios, aims, and the table a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from timing import CLOCKS, CPU, WALL, Contest, Timings, speed_ratio, spread


class Spread(TypedDict):
    """Over the rounds."""

    median: float
    min: float
    max: float


class Times(TypedDict):
    """Milliseconds a call on one clock: spread over the rounds' means, and quantiles over all calls."""

    median: float
    min: float
    max: float
    p50: float
    p95: float


class Item(TypedDict):
    """One contestant."""

    name: str
    calls: int
    ms: dict[str, Times]
    per_second: dict[str, float]


class Ratio(TypedDict):
    """How many times as fast ``faster`` is, by clock."""

    faster: str
    slower: str
    times: dict[str, Spread]


class Aim(TypedDict):
    """What was hoped for, on CPU time, and whether it came true."""

    name: str
    measured: float
    at_least: float
    met: bool


class Findings(TypedDict):
    """Everything a run has found."""

    items: list[Item]
    ratios: list[Ratio]
    aims: list[Aim]
    skipped: dict[str, str]


def nothing() -> Findings:
    """The findings to begin with."""
    return Findings(items=[], ratios=[], aims=[], skipped={})


def add(findings: Findings, contest: Contest, timings: dict[str, Timings]) -> None:
    """Add what a contest has shown."""
    findings["skipped"].update(contest.skipped)
    items = {name: _item(name, timing) for name, timing in timings.items()}
    findings["items"] += items.values()
    for rate in contest.rates:
        measured = items[rate.name]["per_second"][CPU]
        findings["aims"].append(_aim(f"{rate.name} a second", measured, rate.at_least))
    for comparison in contest.comparisons:
        faster, slower = comparison.faster, comparison.slower
        times = {clock: Spread(**speed_ratio(timings[faster], timings[slower], clock)) for clock in CLOCKS}
        findings["ratios"].append(Ratio(faster=faster, slower=slower, times=times))
        if comparison.at_least is not None:
            name = f"{faster} over {slower}"
            findings["aims"].append(_aim(name, times[CPU]["median"], comparison.at_least))


def _item(name: str, timing: Timings) -> Item:
    ms: dict[str, Times] = {}
    for clock in CLOCKS:
        over_rounds = spread([1e3 * mean for mean in timing.round_means(clock)])
        ms[clock] = Times(**over_rounds, p50=1e3 * timing.quantile(clock, 0.5), p95=1e3 * timing.quantile(clock, 0.95))
    return Item(
        name=name,
        calls=sum(len(calls) for calls in timing.rounds[CPU]),
        ms=ms,
        per_second={clock: 1e3 / ms[clock]["median"] for clock in CLOCKS},
    )


def _aim(name: str, measured: float, at_least: float) -> Aim:
    return Aim(name=name, measured=measured, at_least=at_least, met=measured >= at_least)


def table(findings: Findings) -> str:
    """Items, ratios and aims in columns of text; times in milliseconds a call."""
    header = ["item", "CPU ms", "(min to max)", "wall ms", "p50", "p95", "per CPU s"]
    parts = [_columns([header, *(_item_row(item) for item in findings["items"])])]
    if findings["ratios"]:
        rows = [["ratio", "by CPU time", "(min to max)", "by wall time"]]
        rows += [_ratio_row(ratio) for ratio in findings["ratios"]]
        parts.append(_columns(rows))
    if findings["aims"]:
        rows = [["aim", "measured", "aim", ""]]
        for aim in findings["aims"]:
            verdict = "met" if aim["met"] else "not met"
            rows.append([aim["name"], _number(aim["measured"]), f">= {aim['at_least']:g}", verdict])
        parts.append(_columns(rows))
    parts += [f"skipped {name}: {reason}" for name, reason in findings["skipped"].items()]
    return "\n\n".join(parts)


def _item_row(item: Item) -> list[str]:
    cpu, wall = item["ms"][CPU], item["ms"][WALL]
    bounds = f"({_number(cpu['min'])} to {_number(cpu['max'])})"
    times = [_number(wall["median"]), _number(wall["p50"]), _number(wall["p95"])]
    return [item["name"], _number(cpu["median"]), bounds, *times, _number(item["per_second"][CPU])]


def _ratio_row(ratio: Ratio) -> list[str]:
    cpu, wall = ratio["times"][CPU], ratio["times"][WALL]
    bounds = f"({_number(cpu['min'])} to {_number(cpu['max'])})"
    return [f"{ratio['faster']} over {ratio['slower']}", _number(cpu["median"]), bounds, _number(wall["median"])]


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
