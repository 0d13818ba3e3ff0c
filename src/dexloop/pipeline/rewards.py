"""Train the reward classifier of a run from its demonstrations and the clone's rollouts."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from dexloop.config import RunConfig
from dexloop.data.dataset import EpisodeDataset
from dexloop.pipeline.robots import debounce_window
from dexloop.progress import Bar
from dexloop.rewards.classifier import ClassifierReport, SuccessClassifier, train_classifier
from dexloop.rewards.labelled import LabelledEpisode, label_from_mark, label_from_truth
from dexloop.rewards.labels import Label
from dexloop.types import RobotSpec


def labelled_episodes(
    config: RunConfig,
    spec: RobotSpec,
    datasets: Mapping[str, EpisodeDataset],
    marks: Mapping[str, Label],
) -> list[LabelledEpisode]:
    """Every episode with its labels: a person's mark where there is one, else the simulation's truth.

    marks: by "dataset/index". Episodes that neither a person nor the simulation has judged are left
    out, and those that the person skipped.
    """
    margin = round(config.classifier.margin_seconds * spec.control_hz)
    labelled: list[LabelledEpisode] = []
    for name, dataset in datasets.items():
        for index in dataset.episodes:
            key = f"{name}/{index}"
            episode = dataset.episode(index)
            if key in marks:
                if not marks[key].skip:
                    labelled.append(label_from_mark(episode, marks[key].success_from, margin))
            elif episode.true_success is not None:
                labelled.append(label_from_truth(episode, margin))
    return labelled


def train_reward(
    config: RunConfig, spec: RobotSpec, episodes: list[LabelledEpisode]
) -> tuple[SuccessClassifier, ClassifierReport]:
    """Train and measure the classifier."""
    torch.manual_seed(config.seed)
    with Bar("classifier", config.classifier.updates, "updates") as bar:
        result = train_classifier(
            episodes,
            tuple(sorted(spec.observation.cameras)),
            config.classifier,
            window=debounce_window(config, spec),
            seed=config.seed,
            progress=lambda update, loss: bar.update(update, f"loss {loss:.3f}"),
        )
        bar.update(config.classifier.updates)
    return result
