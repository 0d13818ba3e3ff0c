"""The tiny dataset in ``tests/data/golden``, which pins the format.

``python -m tests.data.golden`` writes it again; do so only together with a new ``FORMAT_VERSION``.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from dexloop.data.dataset import EpisodeDataset
from dexloop.types import ActionGroup, ActionSpec, Episode, Observation, ObservationSpec, RobotSpec, Transition
from tests.data.samples import scene

PATH = Path(__file__).parent / "golden"
ROBOT = RobotSpec(
    name="golden",
    task="push",
    action=ActionSpec(2, (ActionGroup("arm", 0, 1, velocity=True), ActionGroup("hand", 1, 2)), ("x", "grip")),
    observation=ObservationSpec(3, {"top": (16, 16)}, privileged=1, proprio_names=("a", "b", "c")),
    control_hz=10.0,
    max_steps=20,
    reset_seconds=2.0,
)


def episodes() -> list[Episode]:
    """Two episodes whose numbers follow from the step: one succeeds, one runs out of time."""
    return [_episode(seed=40, steps=3, success=True), _episode(seed=41, steps=2, success=False)]


def _episode(seed: int, steps: int, success: bool) -> Episode:
    seen = [
        Observation(
            proprio=np.array([seed, step, step / 3], np.float32),
            images={"top": scene((16, 16), step, shade=seed % 40 * 20)},
            privileged=np.array([-step / 7], np.float32),
        )
        for step in range(steps + 1)
    ]
    transitions = [
        Transition(
            observation=seen[step],
            proposed=np.array([step / 10, -0.3], np.float32),
            executed=np.array([step / 10, 0.7], np.float32),
            control=np.array([False, step == 1]),
            reward=0.0,
            next_observation=seen[step + 1],
            terminated=False,
            truncated=False,
            true_success=None if step == 0 else False,
            score=step / 4,
        )
        for step in range(steps)
    ]
    transitions[-1] = replace(
        transitions[-1], reward=float(success), terminated=success, truncated=not success, success=success
    )
    return Episode(tuple(transitions), "push", seed, success, None, steps / 10 + 2.0, 4.5)


def write(path: Path) -> None:
    with EpisodeDataset.create(path, ROBOT) as dataset:
        for episode in episodes():
            dataset.append(episode)


if __name__ == "__main__":
    shutil.rmtree(PATH, ignore_errors=True)
    write(PATH)
    (PATH / "meta/.lock").unlink()
