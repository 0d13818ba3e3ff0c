"""The words and figures of a report: what a reader is told before any curve."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from dexloop.report.records import Evaluation, Run, as_mapping, number

POLICY_NAMES = {
    "demonstrations": "Demonstrations",
    "bc": "Behaviour cloning",
    "distilled": "Clone with ACT's rollouts",
    "rlpd": "RLPD",
    "iborl_ablated": "IBORL\N{DAGGER}",
    "iborl": "IBORL",
}
_ORDER = tuple(POLICY_NAMES)
_BEFORE_TRAINING = ("demonstrations", "bc", "distilled")

_FACTS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("Task", ("task",), ""),
    ("Observation", ("observation",), ""),
    ("Reward", ("reward",), ""),
    ("Control rate", ("control_hz",), " Hz"),
    ("Image size", ("image_size",), " pixels"),
    ("Seed", ("seed",), ""),
    ("Version", ("version", "dexloop_version"), ""),
    ("Machine", ("machine", "host"), ""),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure or word with its name; note: what it means, small."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of policies. low, high, rate: shares in [0, 1] for the bar.

    cells: what the columns of ``Summary.columns`` say, "" where unknown.
    """

    name: str
    rate: float
    low: float
    high: float
    count: str
    percent: str
    interval: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """The table of policies; columns that no policy has a figure for are left out."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    ablated: bool


def facts(run: Run) -> list[Fact]:
    """What was run and where: from config.json, or else from the first evaluation that says it."""
    found: list[Fact] = []
    for name, keys, unit in _FACTS:
        value = _find(run.config, keys)
        if not value:
            values = (getattr(entry, key, None) for entry in run.evaluations for key in keys)
            value = next((_words(value) for value in values if value is not None), "")
        if value:
            found.append(Fact(name, value + unit))
    return found


def ordered(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """From what was shown, over what was cloned, to what was learned; unknown policies last."""

    def place(entry: Evaluation) -> tuple[int, str, int]:
        known = _ORDER.index(entry.policy) if entry.policy in _ORDER else len(_ORDER)
        return known, entry.policy, entry.seed or 0

    return sorted(evaluations, key=place)


def headlines(run: Run) -> list[Fact]:
    """The figures that say whether the run was worth it: success and cycle time, before and after."""
    entries = ordered(run.evaluations)
    if not entries:
        return []
    before = next((entry for entry in entries if entry.policy == "bc"), None)
    trained = [entry for entry in entries if entry.policy not in _BEFORE_TRAINING]
    after = next((entry for entry in trained if entry.policy == "iborl"), trained[-1] if trained else None)
    shown = after or before or entries[0]
    compare = before if shown is not before else None

    found = [
        Fact(
            f"Success of {policy_name(shown.policy)}",
            percent(shown.rate),
            f"{shown.successes} of {shown.trials} trials"
            + (f"; the clone: {percent(compare.rate)}" if compare else ""),
        )
    ]
    seconds, seconds_before = cycle_seconds(shown), cycle_seconds(compare) if compare else None
    if seconds is not None:
        note = "mean of the successful trials"
        if seconds_before is not None:
            note += f"; the clone: {seconds_before:.1f} s"
        found.append(Fact("Cycle time", f"{seconds:.1f} s", note))
    if shown.robot_minutes is not None:
        found.append(Fact("Robot time", f"{shown.robot_minutes:.0f} min", "resets included"))
    if shown.operator_steps is not None:
        note = "control steps driven by a person"
        if shown.control_hz:
            note += f", {shown.operator_steps / shown.control_hz / 60:.1f} min"
        found.append(Fact("Operator", f"{shown.operator_steps:,}", note))
    return found


def results(evaluations: Sequence[Evaluation]) -> Results:
    """The table of all policies, in the order of ``ordered``."""
    entries = ordered(evaluations)
    columns: dict[str, list[str]] = {
        "Cycle time": [_quantity(cycle_seconds(entry), "{:.1f} s") for entry in entries],
        "Steps to success": [_quantity(entry.mean_steps, "{:.1f}") for entry in entries],
        "Robot time": [_quantity(entry.robot_minutes, "{:.0f} min") for entry in entries],
        "Wall-clock time": [_quantity(entry.wall_seconds, "{:.0f} min", 1 / 60) for entry in entries],
        "Operator steps": [_quantity(entry.operator_steps, "{:,.0f}") for entry in entries],
        "Reward wrong": [_quantity(entry.disagreement, "{:.1f} %", 100) for entry in entries],
    }
    for name in ("task", "seed", "observation", "reward"):
        values = [getattr(entry, name) for entry in entries]
        if len(set(values)) > 1:
            columns[name.capitalize()] = ["" if value is None else str(value) for value in values]
    judges = [entry.judged_by or "" for entry in entries]
    if set(judges) - {"", "simulation"}:
        columns["Judged by"] = judges
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    rows = tuple(
        Row(
            name=policy_name(entry.policy),
            rate=entry.rate,
            low=entry.interval[0],
            high=entry.interval[1],
            count=f"{entry.successes} of {entry.trials}",
            percent=percent(entry.rate),
            interval=f"{entry.interval[0] * 100:.0f} \N{EN DASH} {percent(entry.interval[1])}",
            cells=tuple(cells[index] for cells in kept.values()),
        )
        for index, entry in enumerate(entries)
    )
    return Results(tuple(kept), rows, any(entry.policy == "iborl_ablated" for entry in entries))


def reward_facts(reward: Mapping[str, Any]) -> list[Fact]:
    """How far the reward classifier can be trusted, on episodes it never saw."""
    episodes = number(reward.get("episodes"))
    where = "held-out frames" if episodes is None else f"held-out frames of {episodes:.0f} episodes"
    positives, negatives = number(reward.get("positives")), number(reward.get("negatives"))
    counts = "" if None in (positives, negatives) else f"{positives:,.0f} \N{SOLIDUS} {negatives:,.0f}"
    given = (
        Fact("Precision", _quantity(number(reward.get("precision")), "{:.1f} %", 100), where),
        Fact("Recall", _quantity(number(reward.get("recall")), "{:.1f} %", 100), where),
        Fact(
            "False successes",
            _quantity(number(reward.get("false_positives_per_failed_episode")), "{:.2f}"),
            "per failed episode",
        ),
        Fact("Threshold", _quantity(number(reward.get("threshold")), "{:.2f}"), "on the probability"),
        Fact("Frames", counts, "success and no success"),
    )
    return [fact for fact in given if fact.value]


def policy_name(policy: str) -> str:
    """The human name of a policy in evaluation.json; unknown ones keep theirs."""
    return POLICY_NAMES.get(policy, policy)


def cycle_seconds(entry: Evaluation) -> float | None:
    """Mean time of a successful trial [s]."""
    return entry.mean_steps / entry.control_hz if entry.mean_steps is not None and entry.control_hz else None


def percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _quantity(value: float | None, pattern: str, scale: float = 1.0) -> str:
    return "" if value is None else pattern.format(value * scale)


def _find(config: Mapping[str, Any], keys: Sequence[str]) -> str:
    """The value nearest to the top of a nested configuration under one of ``keys``, in words."""
    level = deque([config])
    while level:
        here = level.popleft()
        for key in keys:
            if words := _words(here.get(key)):
                return words
        level.extend(as_mapping(value) for value in here.values() if isinstance(value, dict))
    return ""


def _words(value: object) -> str:
    """A configuration value for people: a part goes by its name, numbers in it by theirs, a size has a times sign."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, dict):
        part = as_mapping(cast(object, value))
        name = part.get("name", part.get("kind"))
        # A bare number among words says nothing: "2 cores".
        flat = [i if isinstance(i, str) else f"{i} {k}" for k, i in part.items() if isinstance(i, str | int | float)]
        return str(name) if isinstance(name, str) else ", ".join(flat)
    if isinstance(value, list):
        return " \N{MULTIPLICATION SIGN} ".join(str(item) for item in cast("list[Any]", value))
    return f"{value:g}" if isinstance(value, float) else str(value)
