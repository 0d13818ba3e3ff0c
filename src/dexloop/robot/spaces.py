"""Gymnasium spaces to and from dexloop's types: where an observation dictionary becomes typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from dexloop.errors import DexloopError
from dexloop.types import FloatArray, ImageArray, Observation, ObservationSpec

_SUPPORTED = (
    "supported are a 1-D Box, a (H, W, 3) uint8 Box, and a Dict of these and of scalar Boxes; "
    "wrap the environment, for example with gymnasium.wrappers.FlattenObservation"
)


@dataclass(frozen=True, slots=True)
class ObservationLayout:
    """Where each part of an observation goes.

    vectors: keys that are joined to the proprioception, in order. images: keys that are cameras.
    privileged: whether there is a "privileged" key. wrapped: the space is a single Box, so that its
    observations come without a dictionary.
    """

    spec: ObservationSpec
    vectors: tuple[str, ...]
    images: tuple[str, ...]
    privileged: bool
    wrapped: bool

    @staticmethod
    def of(space: spaces.Space[Any]) -> ObservationLayout:
        """The layout for an observation space; raises DexloopError where it is not supported.

        A 1-D Box is the proprioception and a (H, W, 3) uint8 Box the camera "image". In a Dict, the
        key "privileged" is the simulation's state, (H, W, 3) uint8 entries are cameras under their
        key, and all other vectors and scalars are joined to the proprioception, "proprio" first and
        the rest in the order of their names (so goal environments need nothing special).
        """
        wrapped = not isinstance(space, spaces.Dict)
        entries: dict[str, spaces.Space[Any]] = (
            dict(space.spaces) if isinstance(space, spaces.Dict) else {_only_key(space): space}
        )
        cameras: dict[str, tuple[int, int]] = {}
        sizes: dict[str, int] = {}
        for key, entry in entries.items():
            if not isinstance(entry, spaces.Box):
                raise DexloopError(f"observation {key!r} is a {type(entry).__name__} space; {_SUPPORTED}")
            if _is_image(entry):
                cameras[key] = (entry.shape[0], entry.shape[1])
            elif len(entry.shape) <= 1:
                sizes[key] = int(np.prod(entry.shape))
            else:
                raise DexloopError(f"observation {key!r} has shape {entry.shape} and type {entry.dtype}; {_SUPPORTED}")
        privileged = sizes.pop("privileged", None)
        vectors = tuple(sorted(sizes, key=lambda key: (key != "proprio", key)))
        return ObservationLayout(
            spec=ObservationSpec(
                proprio=sum(sizes.values()),
                cameras=cameras,
                privileged=privileged or 0,
                proprio_names=tuple(name for key in vectors for name in _names(key, sizes[key])),
            ),
            vectors=vectors,
            images=tuple(cameras),
            privileged=privileged is not None,
            wrapped=wrapped,
        )

    def read(self, raw: Any) -> Observation | None:
        """A raw observation as an Observation of its own memory; None where a number is not finite.

        Numbers are cast to float32. Raises DexloopError where it does not fit the space.
        """
        entries: Mapping[str, Any] = {(self.vectors or self.images)[0]: raw} if self.wrapped else raw
        try:
            proprio = _join([entries[key] for key in self.vectors])
            privileged = _join([entries["privileged"]]) if self.privileged else None
            images = {key: _image(entries[key], self.spec.cameras[key], key) for key in self.images}
        except KeyError as error:
            raise DexloopError(f"the environment's observation lacks {error}, which its space has") from None
        if proprio.size != self.spec.proprio:
            raise DexloopError(
                f"the environment's observation holds {proprio.size} numbers, its space {self.spec.proprio}"
            )
        if not np.isfinite(proprio).all() or (privileged is not None and not np.isfinite(privileged).all()):
            return None
        return Observation(proprio=proprio, images=images, privileged=privileged)


@dataclass(frozen=True, slots=True)
class ActionScale:
    """The linear map between dexloop's actions in [-1, 1] and a Box: x = middle + half * action."""

    middle: NDArray[np.float64]
    half: NDArray[np.float64]
    dtype: np.dtype[Any]

    @staticmethod
    def of(space: spaces.Space[Any]) -> ActionScale:
        """The map for an action space; raises DexloopError where it is not supported."""
        supported = "supported is a 1-D float Box with finite bounds"
        if not isinstance(space, spaces.Box):
            raise DexloopError(f"the environment's actions are a {type(space).__name__} space; {supported}")
        low, high = np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)
        if len(space.shape) != 1 or not np.issubdtype(space.dtype, np.floating):
            raise DexloopError(
                f"the environment's actions have shape {space.shape} and type {space.dtype}; {supported}"
            )
        if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
            raise DexloopError(
                f"the environment's actions lie in [{low.tolist()}, {high.tolist()}]; {supported}, low < high"
            )
        return ActionScale((high + low) / 2, (high - low) / 2, np.dtype(space.dtype))

    def to_box(self, action: FloatArray) -> NDArray[Any]:
        """An action (A,) in [-1, 1] in the Box's units."""
        return (self.middle + self.half * action).astype(self.dtype)

    def from_box(self, action: Any) -> FloatArray:
        """An action in the Box's units as (A,) in [-1, 1]."""
        scaled = (np.asarray(action, np.float64).reshape(self.middle.shape) - self.middle) / self.half
        return np.clip(scaled, -1, 1).astype(np.float32)


def _only_key(space: spaces.Space[Any]) -> str:
    return "image" if isinstance(space, spaces.Box) and _is_image(space) else "proprio"


def _is_image(space: spaces.Box) -> bool:
    return len(space.shape) == 3 and space.shape[2] == 3 and space.dtype == np.uint8


def _names(key: str, size: int) -> list[str]:
    return [f"{key}.{index}" for index in range(size)]


def _join(parts: list[Any]) -> FloatArray:
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which the caller reports
        flat = [np.asarray(part, np.float64).ravel().astype(np.float32) for part in parts]
    return np.concatenate(flat) if flat else np.zeros(0, np.float32)


def _image(image: Any, size: tuple[int, int], key: str) -> ImageArray:
    copied = np.array(image)
    if copied.shape != (*size, 3) or copied.dtype != np.uint8:
        raise DexloopError(
            f"camera {key!r} gave shape {copied.shape} and type {copied.dtype}, expected {(*size, 3)} uint8"
        )
    return copied
