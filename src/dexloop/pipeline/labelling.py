"""Let a person mark success in a run's recorded episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from dexloop.data.dataset import EpisodeDataset
from dexloop.pipeline.run import Run
from dexloop.progress import say
from dexloop.rewards.label_server import LabelSource, label_episodes
from dexloop.types import ImageArray


def label_run(run: Run, port: int) -> None:
    """Serve the labelling page for demonstrations and rollouts until the person ends it with Ctrl-C.

    The first frame shown is the one after the first step, so a frame's number is its step's.
    """
    sources: list[LabelSource] = []
    for name in ("demos", "rollouts"):
        folder = run.directory.root / name
        if not folder.is_dir():
            continue
        dataset = EpisodeDataset.open(folder)
        for index in dataset.episodes:
            truth = dataset.columns(index)["next.success"].astype(bool)
            suggestion = int(np.argmax(truth)) if truth.any() else None
            sources.append(LabelSource(f"{name}/{index}", _frames_of(dataset, index), suggestion))
    label_episodes(sources, run.directory.labels, port=port, announce=say)


def _frames_of(dataset: EpisodeDataset, index: int) -> Callable[[], Mapping[str, ImageArray]]:
    return lambda: {camera: frames[1:] for camera, frames in dataset.frames(index).items()}
