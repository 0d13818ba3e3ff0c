"""Episodes as columns of numbers and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexloop.data import schema
from dexloop.data.parquet import Columns
from dexloop.errors import DexloopError
from dexloop.types import Episode, ImageArray, Observation, RobotSpec, Transition

_VERDICT = (schema.REWARD, schema.SUCCESS, schema.TERMINATED, schema.TRUNCATED, schema.DONE)
_LARGEST = float(np.finfo(np.float32).max)


def check_episode(path: Path, episode: Episode, spec: RobotSpec) -> None:
    """Raise DexloopError unless every array of the episode has the shape in ``spec`` and is finite."""
    if not episode.transitions:
        raise DexloopError(f"{path}: an episode without steps cannot be stored")
    action = (spec.action.size,)
    for step, transition in enumerate(episode.transitions):
        where = f"{path}: step {step} of the episode"
        _check_observation(where, transition.observation, spec)
        _check_observation(where, transition.next_observation, spec)
        _check_numbers(where, "proposed action", transition.proposed, action)
        _check_numbers(where, "executed action", transition.executed, action)
        _check_numbers(where, "reward and score", np.array([transition.reward, transition.score]), (2,))
        if transition.control.shape != action or transition.control.dtype != np.bool_:
            raise DexloopError(f"{where} has a control mask that is not {action} bool")


def episode_columns(episode: Episode, spec: RobotSpec, index: int, first_step: int, task_index: int) -> Columns:
    """All numeric columns of an episode; scalars (T,), vectors (T, n), in the order of ``schema.features``.

    index: the episode's number; first_step: its first step's number in the dataset.
    """
    steps = episode.transitions
    count = len(steps)
    frame = np.arange(count)
    columns: Columns = {schema.STATE: _stack([t.observation.proprio for t in steps])}
    if spec.observation.privileged:
        columns[schema.PRIVILEGED] = _stack([t.observation.privileged for t in steps])
    control = np.stack([t.control for t in steps])
    true_success = [-1 if t.true_success is None else int(t.true_success) for t in steps]
    rest: Columns = {
        schema.EXECUTED: _stack([t.executed for t in steps]),
        schema.PROPOSED: _stack([t.proposed for t in steps]),
        schema.CONTROL: control,
        schema.INTERVENTION: np.any(control, axis=1),
        schema.REWARD: np.array([t.reward for t in steps], np.float32),
        schema.DONE: np.array([t.terminated or t.truncated for t in steps], np.bool_),
        schema.TERMINATED: np.array([t.terminated for t in steps], np.bool_),
        schema.TRUNCATED: np.array([t.truncated for t in steps], np.bool_),
        schema.SUCCESS: np.array([t.success for t in steps], np.bool_),
        schema.TRUE_SUCCESS: np.array(true_success, np.int8),
        schema.SCORE: np.array([t.score for t in steps], np.float32),
        "timestamp": (frame / spec.control_hz).astype(np.float32),
        "frame_index": frame.astype(np.int64),
        "episode_index": np.full(count, index, np.int64),
        "index": (first_step + frame).astype(np.int64),
        "task_index": np.full(count, task_index, np.int64),
    }
    return columns | rest


def with_verdict(columns: Columns, success: bool) -> Columns:
    """The columns of an episode that a verdict ended: the last step terminates with reward 1 or 0.

    A failed episode keeps no successful step, and no reward of one.
    """
    changed = columns | {name: columns[name].copy() for name in _VERDICT}
    if not success:
        changed[schema.REWARD][changed[schema.SUCCESS]] = 0.0
        changed[schema.SUCCESS][:] = False
    changed[schema.REWARD][-1] = float(success)
    changed[schema.SUCCESS][-1] = success
    changed[schema.TERMINATED][-1] = True
    changed[schema.TRUNCATED][-1] = False
    changed[schema.DONE][-1] = True
    return changed


def to_transitions(
    columns: Mapping[str, NDArray[Any]],
    images: Sequence[Mapping[str, ImageArray]],
    loose: Mapping[int, Observation],
) -> tuple[Transition, ...]:
    """The steps again. images: each step's, {camera: (H, W, 3)}; loose: next-observations without a row, by step."""
    count = len(columns[schema.EXECUTED])
    privileged = columns.get(schema.PRIVILEGED)
    seen = [
        Observation(
            proprio=columns[schema.STATE][step],
            images=images[step],
            privileged=None if privileged is None else privileged[step],
        )
        for step in range(count)
    ]
    true_success = columns[schema.TRUE_SUCCESS]
    return tuple(
        Transition(
            observation=seen[step],
            proposed=columns[schema.PROPOSED][step],
            executed=columns[schema.EXECUTED][step],
            control=columns[schema.CONTROL][step],
            reward=float(columns[schema.REWARD][step]),
            next_observation=loose[step] if step in loose else seen[step + 1],
            terminated=bool(columns[schema.TERMINATED][step]),
            truncated=bool(columns[schema.TRUNCATED][step]),
            success=bool(columns[schema.SUCCESS][step]),
            true_success=None if true_success[step] < 0 else bool(true_success[step]),
            score=float(columns[schema.SCORE][step]),
        )
        for step in range(count)
    )


def _check_observation(where: str, seen: Observation, spec: RobotSpec) -> None:
    _check_numbers(where, "proprioception", seen.proprio, (spec.observation.proprio,))
    if spec.observation.privileged:
        if seen.privileged is None:
            raise DexloopError(f"{where} lacks the privileged state that the dataset stores")
        _check_numbers(where, "privileged state", seen.privileged, (spec.observation.privileged,))
    if set(seen.images) != set(spec.observation.cameras):
        raise DexloopError(
            f"{where} has cameras {sorted(seen.images)}, the dataset has {sorted(spec.observation.cameras)}"
        )
    for camera, size in spec.observation.cameras.items():
        image = seen.images[camera]
        if image.shape != (*size, 3) or image.dtype != np.uint8:
            raise DexloopError(
                f"{where}: camera {camera} gives {image.shape} {image.dtype}, the dataset has {(*size, 3)} uint8"
            )


def _check_numbers(where: str, what: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise DexloopError(f"{where} has {what} of shape {values.shape}, the dataset has {shape}")
    if not (np.abs(values) <= _LARGEST).all():
        raise DexloopError(f"{where} holds NaN or infinity in {what}")


def _stack(rows: list[Any]) -> NDArray[np.float32]:
    return np.stack(rows).astype(np.float32, copy=False)
