"""Next-observations that are no other step's observation, which LeRobot's format has no row for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexloop.data.parquet import Columns, encode_columns, numeric_columns, read_table
from dexloop.data.schema import IMAGES, PRIVILEGED, STATE
from dexloop.errors import DexloopError
from dexloop.types import FloatArray, ImageArray, Observation, ObservationSpec, Transition

_STEP = "frame_index"


@dataclass(frozen=True, slots=True)
class LooseObservations:
    """What followed K steps: always the last step, and any step after which the robot was held.

    After every other step comes the next row's observation. steps (K,) int64 ascending, frame indices
    in the episode; proprio (K, P); privileged (K, S) or None; images {camera: (K, H, W, 3) uint8 RGB},
    kept as they were, not as video.
    """

    steps: NDArray[np.int64]
    proprio: FloatArray
    privileged: FloatArray | None
    images: Mapping[str, ImageArray]

    def observations(self) -> dict[int, Observation]:
        """The same as one observation a step."""
        return {
            int(step): Observation(
                proprio=self.proprio[k],
                images={camera: images[k] for camera, images in self.images.items()},
                privileged=None if self.privileged is None else self.privileged[k],
            )
            for k, step in enumerate(self.steps)
        }


def loose_steps(transitions: Sequence[Transition]) -> list[int]:
    """The steps whose next observation is not the observation of the step after."""
    last = len(transitions) - 1
    return [
        step
        for step, transition in enumerate(transitions)
        if step == last or not _same(transition.next_observation, transitions[step + 1].observation)
    ]


def encode_loose(transitions: Sequence[Transition], spec: ObservationSpec) -> bytes:
    """The loose observations of an episode as Parquet bytes, images as flat rows of H * W * 3 numbers."""
    steps = loose_steps(transitions)
    observations = [transitions[step].next_observation for step in steps]
    columns: Columns = {
        _STEP: np.asarray(steps, np.int64),
        STATE: np.stack([seen.proprio for seen in observations]).astype(np.float32),
    }
    privileged = [seen.privileged for seen in observations if seen.privileged is not None]
    if spec.privileged:
        columns[PRIVILEGED] = np.stack(privileged).astype(np.float32)
    for camera in spec.cameras:
        images = np.stack([seen.images[camera] for seen in observations])
        columns[IMAGES + camera] = images.reshape(len(steps), -1)
    return encode_columns(columns, note={})


def read_loose(path: Path, spec: ObservationSpec, length: int) -> LooseObservations:
    """The loose observations of an episode of ``length`` steps. Raises DexloopError where damaged."""
    columns = numeric_columns(path, read_table(path))
    try:
        steps = columns[_STEP].astype(np.int64)
        count = len(steps)
        if count == 0 or steps[-1] != length - 1 or steps[0] < 0 or (np.diff(steps) <= 0).any():
            raise ValueError("its steps are not those of the episode")
        return LooseObservations(
            steps=steps,
            proprio=columns[STATE].reshape(count, spec.proprio),
            privileged=columns[PRIVILEGED].reshape(count, spec.privileged) if spec.privileged else None,
            images={
                camera: columns[IMAGES + camera].reshape(count, height, width, 3)
                for camera, (height, width) in spec.cameras.items()
            },
        )
    except (KeyError, ValueError) as error:
        raise DexloopError(f"{path}: does not fit its episode ({error})") from error


def _same(one: Observation, other: Observation) -> bool:
    if one is other:
        return True
    return (
        np.array_equal(one.proprio, other.proprio)
        and _same_array(one.privileged, other.privileged)
        and all(_same_array(image, other.images.get(camera)) for camera, image in one.images.items())
    )


def _same_array(one: FloatArray | ImageArray | None, other: FloatArray | ImageArray | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or np.array_equal(one, other)
