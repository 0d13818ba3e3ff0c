"""Robots and episodes to store: numbers from a seed, images that a camera could have seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dexloop.types import (
    ActionGroup,
    ActionSpec,
    Episode,
    ImageArray,
    Observation,
    ObservationSpec,
    RobotSpec,
    Transition,
)

HAND_ROBOT = RobotSpec(
    name="rm65_inspire",
    task="cup-taking",
    action=ActionSpec(12, (ActionGroup("arm", 0, 6), ActionGroup("hand", 6, 12))),
    observation=ObservationSpec(25, {"chest": (64, 64), "head": (64, 64)}, privileged=7),
    control_hz=10.0,
    max_steps=100,
    reset_seconds=5.0,
    can_hold=True,
)
SMALL_ROBOT = RobotSpec(
    name="small",
    task="push",
    action=ActionSpec(2, names=("x", "y")),
    observation=ObservationSpec(3, {"top": (16, 24)}),
    control_hz=12.5,
    max_steps=20,
)


def scene(size: tuple[int, int], step: int, shade: float) -> ImageArray:
    """A shaded table with a red and a blue object that move with the step."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    image = np.stack([90 + 0.5 * columns + shade, 110 + 0.3 * rows, 100 + 0.2 * (rows + columns)], axis=-1)
    image[(rows - 6 - 0.2 * step) ** 2 + (columns - 8) ** 2 < 12] = [217, 77, 51]
    image[(abs(rows - 10) < 3) & (abs(columns - 4 - 0.3 * step) < 3)] = [51, 102, 217]
    return np.clip(image, 0, 255).astype(np.uint8)


def observations(spec: RobotSpec, seed: int, count: int) -> Iterator[Observation]:
    rng = np.random.default_rng(seed)
    sizes = spec.observation
    for step in range(count):
        yield Observation(
            proprio=rng.normal(size=sizes.proprio).astype(np.float32),
            images={name: scene(size, step, seed % 50) for name, size in sizes.cameras.items()},
            privileged=rng.normal(size=sizes.privileged).astype(np.float32) if sizes.privileged else None,
        )


def make_episode(spec: RobotSpec, seed: int, steps: int = 8, success: bool = True) -> Episode:
    """An episode that ends with success, or runs out of time without."""
    rng = np.random.default_rng(seed + 10_000)
    seen = list(observations(spec, seed, steps + 1))
    size = spec.action.size
    transitions = [
        Transition(
            observation=seen[step],
            proposed=rng.uniform(-1, 1, size).astype(np.float32),
            executed=rng.uniform(-1, 1, size).astype(np.float32),
            control=rng.random(size) < 0.3,
            reward=0.0,
            next_observation=seen[step + 1],
            terminated=False,
            truncated=False,
            true_success=None if step == 0 else False,
            score=float(np.float32(rng.random())),
        )
        for step in range(steps)
    ]
    transitions[-1] = replace(
        transitions[-1],
        reward=float(success),
        terminated=success,
        truncated=not success,
        success=success,
        true_success=success,
    )
    return Episode(
        transitions=tuple(transitions),
        task=spec.task,
        seed=seed,
        success=success,
        true_success=success,
        robot_seconds=steps / spec.control_hz + spec.reset_seconds,
        wall_seconds=1.25 * steps,
        info={"note": "ü", "scores": [1, 2.5]},
    )


def assert_same_numbers(stored: Episode, given: Episode) -> None:
    """Everything but the images of steps, which went through a codec, is exactly as it was."""
    fields = ("task", "seed", "success", "true_success", "robot_seconds", "wall_seconds", "valid", "stop")
    for name in fields:
        assert getattr(stored, name) == getattr(given, name), name
    assert stored.info == given.info
    assert len(stored) == len(given)
    for ours, theirs in zip(stored.transitions, given.transitions, strict=True):
        for name in ("reward", "terminated", "truncated", "success", "true_success", "score"):
            assert getattr(ours, name) == getattr(theirs, name), name
        for name in ("proposed", "executed", "control"):
            mine, given_array = getattr(ours, name), getattr(theirs, name)
            assert mine.dtype == given_array.dtype
            np.testing.assert_array_equal(mine, given_array)
        for mine, seen in (
            (ours.observation, theirs.observation),
            (ours.next_observation, theirs.next_observation),
        ):
            np.testing.assert_array_equal(mine.proprio, seen.proprio)
            assert mine.proprio.dtype == np.float32
            assert (mine.privileged is None) == (seen.privileged is None)
            if mine.privileged is not None and seen.privileged is not None:
                np.testing.assert_array_equal(mine.privileged, seen.privileged)


def mean_error(one: ImageArray, other: ImageArray) -> float:
    """Mean absolute difference [grey levels]."""
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())
