"""Columns of any LeRobot dataset, brought to the ones that dexloop stores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexloop.data import schema
from dexloop.data.parquet import Columns
from dexloop.errors import DexloopError
from dexloop.types import RobotSpec

# The take-over flag goes by these names; the first that is there counts.
_INTERVENTIONS = (schema.INTERVENTION, "intervention", "is_intervention", "complementary_info.intervention")


def complete_columns(path: Path, stored: Mapping[str, NDArray[Any]], spec: RobotSpec) -> Columns:
    """All columns of ``schema.features``, typed and shaped, with what is missing filled in.

    Without ``action.proposed`` the executed action stands for it; without a control mask the take-over
    flag, where there is one, counts for all dimensions; without rewards every reward is 0; without end
    flags the last step is truncated. Raises DexloopError where state or action are missing or misshapen.
    """
    for name in (schema.STATE, schema.EXECUTED):
        if name not in stored:
            raise DexloopError(f"{path}: has no column {name}, which every step needs")
    count, observation = len(stored[schema.EXECUTED]), spec.observation
    columns = dict(stored)
    columns.update(_defaults(stored, count, spec.action.size))
    columns.update((name, column) for name, column in stored.items() if name in columns)
    shapes = {schema.STATE: observation.proprio, schema.EXECUTED: spec.action.size}
    shapes |= {schema.PROPOSED: spec.action.size, schema.CONTROL: spec.action.size}
    if observation.privileged:
        shapes[schema.PRIVILEGED] = observation.privileged
    try:
        for name, width in shapes.items():
            dtype = np.bool_ if name == schema.CONTROL else np.float32
            columns[name] = columns[name].reshape(count, width).astype(dtype, copy=False)
        for name, kind in schema.SCALARS.items():
            columns[name] = columns[name].reshape(count).astype(np.dtype(kind), copy=False)
    except (KeyError, ValueError) as error:
        raise DexloopError(f"{path}: its columns do not have the shapes in meta/info.json ({error})") from error
    return columns


def _defaults(stored: Mapping[str, NDArray[Any]], count: int, size: int) -> Columns:
    """Values for columns that only dexloop writes."""
    never = np.zeros(count, np.bool_)
    driven = next((stored[name] for name in _INTERVENTIONS if name in stored), never).reshape(-1).astype(np.bool_)
    last = np.arange(count) == count - 1
    done = stored.get(schema.DONE, last).reshape(-1).astype(np.bool_)
    # A bare end flag means the task ended; only with no flag at all is the end a cut.
    cut = stored.get(schema.TRUNCATED, never if schema.DONE in stored else last).reshape(-1).astype(np.bool_)
    frame = np.arange(count)
    return {
        schema.PROPOSED: stored[schema.EXECUTED],
        schema.CONTROL: np.repeat(driven[:, None], size, axis=1),
        schema.INTERVENTION: driven,
        schema.REWARD: np.zeros(count),
        schema.DONE: done,
        schema.TERMINATED: done & ~cut,
        schema.TRUNCATED: cut,
        schema.SUCCESS: never,
        schema.TRUE_SUCCESS: np.full(count, -1),
        schema.SCORE: np.zeros(count),
        "timestamp": frame,
        "frame_index": frame,
        "episode_index": frame,
        "index": frame,
        "task_index": np.zeros(count),
    }
