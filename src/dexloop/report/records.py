"""What a run directory says about a run, read once and typed; every part of it may be missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, cast

import numpy as np

from dexloop.report.statistics import Float64Array, wilson_interval


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluated policy; None where the file says nothing.

    rate and interval lie in [0, 1]; the interval is Wilson's at 95 %. mean_steps: control steps of the
    successful trials. robot_minutes: what the policy cost, resets included [min].
    image_size: height of the largest picture that the policy saw [pixels]. disagreement: share of trials in which the
    reward classifier and the simulation differ. judged_by: who said which trials succeeded. planned: how many trials it
    was to have, where it was broken off before; None where it is whole.
    """

    policy: str
    trials: int
    successes: int
    rate: float
    interval: tuple[float, float]
    task: str | None = None
    seed: int | None = None
    observation: str | None = None
    reward: str | None = None
    mean_steps: float | None = None
    control_hz: float | None = None
    image_size: float | None = None
    robot_minutes: float | None = None
    wall_seconds: float | None = None
    operator_steps: int | None = None
    disagreement: float | None = None
    judged_by: str | None = None
    planned: int | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What of config.json a reader wants to know; None where it says nothing.

    algorithm: name of what learns online. control_hz [Hz]: the simulation's, where that is the robot; image_size
    [pixels]: its pictures', where they are seen. machine: where the run was begun, in words.
    """

    task: str | None = None
    observation: str | None = None
    reward: str | None = None
    seed: int | None = None
    algorithm: str | None = None
    control_hz: float | None = None
    image_size: float | None = None
    version: str | None = None
    machine: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Lines of metrics of one kind, in the order they were written."""

    rows: tuple[Mapping[str, Any], ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> Float64Array:
        """(N,) the numbers under ``name``; NaN where a line has none."""
        numbers = [number(row.get(name)) for row in self.rows]
        return np.array([np.nan if value is None else value for value in numbers], np.float64)


@dataclass(frozen=True, slots=True)
class Metrics:
    """metrics.jsonl by kind of line."""

    episodes: Table = field(default_factory=Table)
    updates: Table = field(default_factory=Table)


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory; config: config.json as it is. problems: sentences on files that are there but cannot be read."""

    directory: Path
    config: Mapping[str, Any]
    settings: Settings
    evaluations: tuple[Evaluation, ...]
    metrics: Metrics
    reward: Mapping[str, Any]
    problems: tuple[str, ...]


def read_run(directory: Path) -> Run:
    """Read what is there; a damaged file becomes a sentence in ``problems``."""
    problems: list[str] = []
    listed = _read_json(directory / "evaluation.json", problems)
    entries = cast("Sequence[Any]", listed) if isinstance(listed, list) else ()
    evaluations = [_evaluation(as_mapping(entry)) for entry in entries]
    if listed is not None and (not isinstance(listed, list) or None in evaluations):
        problems.append("evaluation.json holds entries without a policy and its trials; they are left out.")
    config = as_mapping(_read_json(directory / "config.json", problems))
    return Run(
        directory=directory,
        config=config,
        settings=_settings(config),
        evaluations=tuple(entry for entry in evaluations if entry is not None),
        metrics=_read_metrics(directory / "metrics.jsonl", problems),
        reward=as_mapping(_read_json(directory / "reward" / "metrics.json", problems)),
        problems=tuple(problems),
    )


def number(value: object) -> float | None:
    """A finite number, or None for anything else."""
    if not isinstance(value, int | float):
        return None
    try:
        return float(value) if isfinite(value) else None
    except OverflowError:
        return None


def as_mapping(value: object) -> Mapping[str, Any]:
    """A JSON object, or an empty one for anything else."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _whole(value: object) -> int | None:
    given = number(value)
    return None if given is None else round(given)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _settings(config: Mapping[str, Any]) -> Settings:
    values = as_mapping(config.get("config", config))
    observation = _text(values.get("observation"))
    simulation = as_mapping(values.get("sim")) if values.get("robot") == "sim" else {}
    return Settings(
        task=_text(values.get("task")),
        observation=observation,
        reward=_text(values.get("reward")),
        seed=_whole(values.get("seed")),
        algorithm=_text(as_mapping(values.get("algorithm")).get("name")),
        control_hz=number(simulation.get("control_hz")),
        image_size=number(simulation.get("image_size")) if observation == "images" else None,
        version=_text(config.get("dexloop_version")),
        machine=_machine(as_mapping(config.get("host"))),
    )


def _machine(host: Mapping[str, Any]) -> str | None:
    cores, python = _whole(host.get("cores")), _text(host.get("python"))
    parts = [
        _text(host.get("platform")),
        _text(host.get("processor")),
        None if cores is None else f"{cores} cores",
        None if python is None else f"Python {python}",
    ]
    return ", ".join(part for part in parts if part) or None


def _evaluation(entry: Mapping[str, Any]) -> Evaluation | None:
    policy, trials, successes = (
        entry.get("policy"),
        _whole(entry.get("trials")),
        _whole(entry.get("successes")),
    )
    rate = number(entry.get("success_rate"))
    if successes is None and trials is not None and rate is not None:
        successes = round(rate * trials)
    if policy is None or trials is None or successes is None or not 0 <= successes <= trials or trials == 0:
        return None
    stored = entry.get("ci95")
    bounds = [number(bound) for bound in cast("list[Any]", stored)] if isinstance(stored, list) else []
    match bounds:
        case [float(low), float(high)] if 0.0 <= low <= high <= 1.0:
            interval = (low, high)
        case _:
            interval = wilson_interval(successes, trials)
    return Evaluation(
        policy=str(policy),
        trials=trials,
        successes=successes,
        rate=successes / trials,
        interval=interval,
        task=_text(entry.get("task")),
        seed=_whole(entry.get("seed")),
        observation=_text(entry.get("observation")),
        reward=_text(entry.get("reward")),
        mean_steps=number(entry.get("mean_steps")),
        control_hz=number(entry.get("control_hz")),
        image_size=number(entry.get("image_size")),
        robot_minutes=number(entry.get("robot_minutes")),
        wall_seconds=number(entry.get("wall_seconds")),
        operator_steps=_whole(entry.get("operator_steps")),
        disagreement=number(entry.get("classifier_disagreement")),
        judged_by=_text(entry.get("judged_by")),
        planned=_whole(as_mapping(entry.get("unfinished")).get("trials")),
    )


def _read_json(path: Path, problems: list[str]) -> object:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} in {path.parent.name}/ cannot be read ({error}); it is left out.")
        return None


def _read_metrics(path: Path, problems: list[str]) -> Metrics:
    try:
        lines = path.read_text("utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return Metrics()
    except OSError as error:
        problems.append(f"metrics.jsonl cannot be read ({error}); the curves are left out.")
        return Metrics()
    kinds: dict[str, list[Mapping[str, Any]]] = {"episode": [], "update": []}
    damaged = 0
    for index, line in enumerate(lines):
        try:
            row = as_mapping(json.loads(line)) if line.strip() else {}
        except (ValueError, RecursionError):
            # A killed process leaves a torn last line; that is expected and loses nothing.
            damaged += index + 1 < len(lines)
            continue
        if row.get("kind") in kinds:
            kinds[str(row["kind"])].append(row)
    if damaged:
        problems.append(f"metrics.jsonl has damaged lines, which are left out: {damaged}.")
    # Where a stored episode was lost or damaged, a resumed run gives its number to another one: that one's line counts,
    # in the earlier one's place.
    episodes: dict[object, Mapping[str, Any]] = {}
    for index, row in enumerate(kinds["episode"]):
        known = number(row.get("episode"))
        episodes[("line", index) if known is None else known] = row
    return Metrics(Table(tuple(episodes.values())), Table(tuple(kinds["update"])))
