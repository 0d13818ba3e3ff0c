"""Train the reward classifier of a run from its demonstrations, its rollouts, and online episodes if wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch

from dexloop.config import RunConfig
from dexloop.data.dataset import EpisodeDataset
from dexloop.networks.pretrained import ImageEncoder
from dexloop.progress import Bar
from dexloop.rewards.classifier import SuccessClassifier
from dexloop.rewards.labelled import LabelledEpisode, label_from_mark, label_from_truth, label_from_verdict
from dexloop.rewards.labels import Label
from dexloop.rewards.measures import ClassifierReport
from dexloop.rewards.training import train_classifier
from dexloop.types import RobotSpec, Verdict

OnlineLabels = Literal["verdicts", "truth"]
"""Which online episodes teach the classifier: those with a person's verdict, or also those that only the simulation
judged."""

_Source = Literal["verdict", "truth"]

# What a person saw so long before their key was down is what they judged: to recognise something and answer takes
# 0.38 s (Laming, Information Theory of Choice-Reaction Times, 1968).
_REACTION_SECONDS = 0.4


def labelled_episodes(
    config: RunConfig,
    spec: RobotSpec,
    datasets: Mapping[str, EpisodeDataset],
    marks: Mapping[str, Label],
    online: OnlineLabels | None = None,
) -> list[LabelledEpisode]:
    """Every episode with its labels: a person's mark where there is one, else of the dataset's sources the first.

    datasets: by name, "episodes" for the online ones. marks: by "dataset/index". online: which online episodes count.
    Episodes that none of these has judged are left out, and those that the person skipped.
    """
    margin = round(config.classifier.margin_seconds * spec.control_hz)
    seen = max(1, round(_REACTION_SECONDS * spec.control_hz))
    labelled: list[LabelledEpisode] = []
    for name, dataset in datasets.items():
        sources = _sources(name, config, online)
        for index in dataset.episodes:
            mark, info = marks.get(f"{name}/{index}"), dataset.episode_info(index)
            verdict = info.info.get("verdict")
            judged: dict[_Source, bool] = {"verdict": verdict is not None, "truth": info.true_success is not None}
            source = next((source for source in sources if judged[source]), None)
            if mark is not None:
                if not mark.skip:
                    labelled.append(label_from_mark(dataset.episode(index), mark.success_from, margin))
            elif source == "verdict":
                success = verdict == Verdict.SUCCESS.value
                labelled.append(label_from_verdict(dataset.episode(index), success, seen))
            elif source == "truth":
                labelled.append(label_from_truth(dataset.episode(index), margin))
    return labelled


def _sources(name: str, config: RunConfig, online: OnlineLabels | None) -> tuple[_Source, ...]:
    """What labels the episodes of a dataset that nobody marked; the first that there is counts."""
    if name == "episodes" or config.reward == "person":
        # What the simulation knows is not for online episodes, nor for a run that a person judges, unless it is wanted.
        return ("verdict", "truth") if online == "truth" else ("verdict",)
    # The truth says of every frame what it shows, and a verdict only of the last ones.
    return ("truth",) if online is None else ("truth", "verdict")


def train_reward(
    config: RunConfig, spec: RobotSpec, encoder: ImageEncoder, episodes: list[LabelledEpisode]
) -> tuple[SuccessClassifier, ClassifierReport]:
    """Train and measure the classifier on what the clone's encoder sees."""
    torch.manual_seed(config.seed)
    updates = config.classifier.folds * config.classifier.updates
    with Bar("classifier", updates, "updates") as bar:
        result = train_classifier(
            episodes,
            encoder,
            config.classifier,
            control_hz=spec.control_hz,
            seed=config.seed,
            progress=lambda update, loss: bar.update(update, f"loss {loss:.3f}"),
        )
        bar.update(updates)
    return result
