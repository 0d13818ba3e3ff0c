"""The words and figures of a report: what a reader is told before any curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dexloop.report.records import Evaluation, Run, number

_T = TypeVar("_T")

POLICY_NAMES = {
    "demonstrations": "Demonstrations",
    "bc": "Behaviour cloning",
    "act": "ACT",
    "distilled": "Clone with ACT's rollouts",
    "rlpd": "RLPD",
    "iborl_ablated": "IBORL\N{DAGGER}",
    "iborl_paper": "IBORL as published",
    "iborl_policy": "IBORL, learning its policy",
    "iborl": "IBORL",
    "blank_images": "Control: blank images",
}
_ORDER = tuple(POLICY_NAMES)
_LEARNED_ONLINE = ("rlpd", "iborl_ablated", "iborl_paper", "iborl_policy", "iborl")
_CONTROL = "blank_images"
# As `dexloop evaluate --robot` names what it tries: "iborl on lift".
_ELSEWHERE = " on "

_NOTES = {
    "demonstrations": "Failed demonstrations are not kept, so their 100 % says nothing.",
    "iborl_ablated": "IBORL\N{DAGGER} starts from the clone like IBORL as published, but is not held to it.",
    _CONTROL: "Blank images: the trained policy, shown grey pictures. It must do much worse, or it does not look.",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure or word with its name; note: what it means, small."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of policies. low, high, rate: shares in [0, 1] for the bar.

    so_far: how many trials are done of how many, "" where all are. cells: what the columns of ``Results.columns`` say,
    "" where unknown.
    """

    name: str
    rate: float
    low: float
    high: float
    count: str
    percent: str
    interval: str
    so_far: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """The table of policies; columns that no policy has a figure for are left out. notes: sentences on some of them."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def facts(run: Run) -> list[Fact]:
    """What was run and where: from config.json and the evaluations, which know best what the robot is like."""
    settings, tried = run.settings, [entry for entry in run.evaluations if not _is_elsewhere(entry)]
    seed = _first([settings.seed, *(entry.seed for entry in tried)])
    given = (
        ("Task", _first([settings.task, *(entry.task for entry in tried)])),
        ("Observation", _first([settings.observation, *(entry.observation for entry in tried)])),
        ("Reward", _first([settings.reward, *(entry.reward for entry in tried)])),
        ("Control rate", _quantity(_first([*(entry.control_hz for entry in tried), settings.control_hz]), "{:g} Hz")),
        ("Image size", _quantity(_first([*(entry.image_size for entry in tried), settings.image_size]), "{:g} pixels")),
        ("Seed", None if seed is None else str(seed)),
        ("Version", settings.version),
        ("Machine", settings.machine),
    )
    return [Fact(name, value) for name, value in given if value]


def ordered(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """What was shown, what was cloned, what was learned; then unknown policies, the control, and other robots."""

    def place(entry: Evaluation) -> tuple[bool, bool, int, str, int]:
        base = entry.policy.partition(" ")[0]
        known = _ORDER.index(base) if base in _ORDER else len(_ORDER)
        return _is_elsewhere(entry), base == _CONTROL, known, entry.policy, entry.seed or 0

    return sorted(evaluations, key=place)


def headlines(run: Run) -> list[Fact]:
    """The figures that say whether the run was worth it: success and cycle time, before and after.

    They are the policies' own on the run's robot: never a control's, another robot's or the demonstrations'.
    """
    left_out = (_CONTROL, "demonstrations")
    entries = [e for e in ordered(run.evaluations) if e.policy not in left_out and not _is_elsewhere(e)]
    before = next((entry for entry in entries if entry.policy == "bc"), None)
    shown = _trained(entries, run.settings.algorithm) or before or next(iter(entries), None)
    if shown is None:
        return []
    compare = before if shown is not before else None

    found = [Fact(f"Success of {policy_name(shown.policy)}", percent(shown.rate), _counted(shown, compare))]
    seconds, seconds_before = cycle_seconds(shown), cycle_seconds(compare) if compare else None
    if seconds is not None:
        note = "mean of the successful trials"
        if seconds_before is not None:
            note += f"; the clone: {seconds_before:.1f} s"
        found.append(Fact("Cycle time", f"{seconds:.1f} s", note))
    if shown.robot_minutes is not None:
        found.append(Fact("Robot time", f"{shown.robot_minutes:.0f} min", "resets included"))
    if shown.operator_steps is not None:
        note = "control steps driven by the operator"
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
        "Classifier disagreement": [_quantity(entry.disagreement, "{:.1f} %", 100) for entry in entries],
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
            so_far=so_far(entry),
            cells=tuple(cells[index] for cells in kept.values()),
        )
        for index, entry in enumerate(entries)
    )
    notes = tuple(note for policy, note in _NOTES.items() if any(entry.policy == policy for entry in entries))
    return Results(tuple(kept), rows, notes)


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
        Fact("Threshold", _quantity(number(reward.get("threshold")), "{:.2f}"), "least probability of a success"),
        Fact("Frames", counts, "with and without success"),
    )
    return [fact for fact in given if fact.value]


def policy_name(policy: str) -> str:
    """The human name of a policy in evaluation.json, with what it says behind that; unknown ones keep theirs."""
    name, space, rest = policy.partition(" ")
    return POLICY_NAMES.get(name, name) + space + rest


def so_far(entry: Evaluation) -> str:
    """How far an evaluation came that was broken off; "" for a whole one."""
    return "" if entry.planned is None else f"{entry.trials} of {entry.planned} trials so far"


def cycle_seconds(entry: Evaluation) -> float | None:
    """Mean time of a successful trial [s]."""
    return entry.mean_steps / entry.control_hz if entry.mean_steps is not None and entry.control_hz else None


def percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _is_elsewhere(entry: Evaluation) -> bool:
    """Whether the trials were on another robot than the run's."""
    return _ELSEWHERE in entry.policy


def _trained(entries: Sequence[Evaluation], algorithm: str | None) -> Evaluation | None:
    """The policy of the run's algorithm; without a config.json that names one, the last that is known to learn."""
    names = _LEARNED_ONLINE if algorithm is None else (algorithm,)
    return next((entry for entry in reversed(entries) if entry.policy in names), None)


def _counted(entry: Evaluation, compare: Evaluation | None) -> str:
    """The trials behind a success rate, and the rate to compare it with."""
    parts = [f"{entry.successes} of {entry.trials} trials", so_far(entry)]
    if compare is not None:
        unfinished = so_far(compare)
        parts.append(f"the clone: {percent(compare.rate)}" + (f" ({unfinished})" if unfinished else ""))
    return "; ".join(part for part in parts if part)


def _first(values: Iterable[_T | None]) -> _T | None:
    return next((value for value in values if value is not None), None)


def _quantity(value: float | None, pattern: str, scale: float = 1.0) -> str:
    return "" if value is None else pattern.format(value * scale)
