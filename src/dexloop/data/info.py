"""What is known about an episode as a whole; kept in the footer of its data file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dexloop.errors import DexloopError
from dexloop.types import Episode


@dataclass(frozen=True, slots=True)
class EpisodeInfo:
    """The fields of ``dexloop.types.Episode`` other than its steps; length: control steps.

    robot_seconds and wall_seconds are in seconds. info holds what JSON can: numbers, strings, lists.
    """

    task: str
    seed: int
    success: bool
    true_success: bool | None
    robot_seconds: float
    wall_seconds: float
    valid: bool
    length: int
    stop: bool = False
    info: Mapping[str, Any] = field(default_factory=dict[str, Any])


def info_of(episode: Episode) -> EpisodeInfo:
    return EpisodeInfo(
        task=episode.task,
        seed=int(episode.seed),
        success=bool(episode.success),
        true_success=None if episode.true_success is None else bool(episode.true_success),
        robot_seconds=float(episode.robot_seconds),
        wall_seconds=float(episode.wall_seconds),
        valid=bool(episode.valid),
        length=len(episode),
        stop=bool(episode.stop),
        info=_plain(dict(episode.info)),
    )


def info_to_json(info: EpisodeInfo, task_index: int, checksums: Mapping[str, int]) -> dict[str, Any]:
    """The footer of a data file. checksums: the CRC-32 of each of the episode's videos, by feature."""
    fields = ("task", "seed", "success", "true_success", "robot_seconds", "wall_seconds", "valid", "stop")
    plain: dict[str, Any] = {name: getattr(info, name) for name in fields}
    return plain | {"task_index": task_index, "info": info.info, "checksums": dict(checksums)}


def info_from_json(path: Path, note: Mapping[str, Any] | None, length: int) -> tuple[EpisodeInfo, int]:
    """The info in a data file's footer, and its task's number. Raises DexloopError where there is none."""
    try:
        if note is None:
            raise KeyError("dexloop")
        true_success = note["true_success"]
        info = EpisodeInfo(
            task=str(note["task"]),
            seed=int(note["seed"]),
            success=bool(note["success"]),
            true_success=None if true_success is None else bool(true_success),
            robot_seconds=float(note["robot_seconds"]),
            wall_seconds=float(note["wall_seconds"]),
            valid=bool(note["valid"]),
            length=length,
            stop=bool(note["stop"]),
            info=dict(note["info"]),
        )
        return info, int(note["task_index"])
    except (KeyError, TypeError, ValueError) as error:
        raise DexloopError(f"{path}: was not written by dexloop, its footer lacks {error}") from error


def checksums_from_json(path: Path, note: Mapping[str, Any] | None) -> dict[str, int]:
    """The checksums in a data file's footer. Raises DexloopError where there are none."""
    try:
        checksums: Mapping[str, Any] = (note or {})["checksums"]
        return {str(key): int(value) for key, value in checksums.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DexloopError(f"{path}: was not written by dexloop, its footer lacks {error}") from error


def _plain(value: Any) -> Any:
    """The nearest thing that JSON can hold; what it cannot is kept as text, so that no episode is refused."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
