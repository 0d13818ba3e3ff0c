"""Training the success classifier: a head for each part of the episodes, measured on the part it never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dexloop.errors import DexloopError
from dexloop.networks.encoders import random_shift_alike
from dexloop.networks.latent import stack_images
from dexloop.networks.pretrained import ImageEncoder
from dexloop.rewards.classifier import SuccessClassifier
from dexloop.rewards.config import ClassifierConfig
from dexloop.rewards.debounce import frames
from dexloop.rewards.labelled import FrameLabel, LabelledEpisode
from dexloop.rewards.measures import ClassifierReport, measure
from dexloop.rewards.typical import Typical

# A feature that hardly moves must not be blown up into noise.
_SMALLEST_DEVIATION = 0.01


def train_classifier(
    episodes: Sequence[LabelledEpisode],
    encoder: ImageEncoder,
    config: ClassifierConfig,
    *,
    control_hz: float,
    seed: int,
    progress: Callable[[int, float], None] = lambda update, loss: None,
) -> tuple[SuccessClassifier, ClassifierReport]:
    """Train a head on all but one part of the episodes, for each part; what they say of the parts left out is measured.

    encoder: the policy's; it stays as it is. control_hz: frames a second. Raises DexloopError without a single positive
    frame, without a negative one, and for a lone episode.
    """
    episodes = [e for e in episodes if any(label != FrameLabel.UNSURE for label in e.labels)]
    kinds = {label for e in episodes for label in e.labels}
    for kind, missing in ((FrameLabel.SUCCESS, "successful"), (FrameLabel.FAILURE, "unsuccessful")):
        if kind not in kinds:
            raise DexloopError(
                f"the reward classifier needs {missing} frames; label some with: dexloop reward RUN --label"
            )
    if len(episodes) < 2:
        raise DexloopError("the reward classifier needs more than one labelled episode; record or label some")
    classifier = SuccessClassifier(encoder, config.folds, [frames(s, control_hz) for s in config.motion_seconds])
    images = [stack_images(e.observations, encoder.cameras) for e in episodes]
    features = [classifier.features(its) for its in images]
    versions = _standardised(classifier, images, features, config)
    labels = [torch.tensor([int(label) for label in e.labels]) for e in episodes]
    part_of = _parts(episodes, config.folds, seed)
    scores: list[np.ndarray] = [np.empty(0)] * len(episodes)
    for part, head in enumerate(classifier.heads):
        seen = [i for i, its in enumerate(part_of) if its != part]
        rows = torch.cat([versions[i] for i in seen], 1), torch.cat([labels[i] for i in seen])
        _fit(head, *rows, config, lambda update, loss, part=part: progress(part * config.updates + update, loss))
        head.eval()
        with torch.no_grad():
            for i in (i for i, its in enumerate(part_of) if its == part):
                scores[i] = torch.sigmoid(head(versions[i][0]).squeeze(-1)).numpy()
    if config.typical < 1.0:
        distances = _fit_typical(classifier.typical, features, labels, part_of, config)
        scores = [
            its * (away <= classifier.typical.farthest).numpy() for its, away in zip(scores, distances, strict=True)
        ]
    return classifier.eval(), measure(episodes, scores, config, control_hz)


def _fit_typical(
    typical: Typical,
    features: Sequence[Tensor],
    labels: Sequence[Tensor],
    part_of: Sequence[int],
    config: ClassifierConfig,
) -> list[Tensor]:
    """Fit it on every episode; how far (T,) each one's frames are from the successes of the others, 0 without any."""
    distances = [torch.zeros(len(its)) for its in features]
    measured: list[Tensor] = []
    for part in [*range(config.folds), None]:
        seen = [i for i, its in enumerate(part_of) if its != part]
        every, kinds = torch.cat([features[i] for i in seen]), torch.cat([labels[i] for i in seen])
        shown = kinds == FrameLabel.SUCCESS
        if not shown.any():
            continue
        typical.fit(every[shown], every)
        for i in (i for i, its in enumerate(part_of) if its == part):
            distances[i] = typical.distances(features[i])
            measured.append(distances[i][labels[i] == FrameLabel.SUCCESS])
    away = torch.cat(measured)
    if len(away):
        typical.farthest.copy_(torch.quantile(away, config.typical))
    return distances


def _fit(
    head: nn.Module, versions: Tensor, labels: Tensor, config: ClassifierConfig, progress: Callable[[int, float], None]
) -> None:
    """Train on standardised inputs (crops, N, F) with labels (N), as many positive as negative ones."""
    optimizer = torch.optim.AdamW(head.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)
    kinds = [torch.nonzero(labels == kind)[:, 0] for kind in (FrameLabel.SUCCESS, FrameLabel.FAILURE)]
    half = config.batch // 2
    for update in range(config.updates):
        rows = torch.cat([kind[torch.randint(len(kind), (half,))] for kind in kinds if len(kind)])
        seen = versions[torch.randint(len(versions), (len(rows),)), rows]
        logits = head(seen + config.input_noise * torch.randn_like(seen)).squeeze(-1)
        loss = functional.binary_cross_entropy_with_logits(logits, labels[rows].float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if update % 20 == 0:
            progress(update, float(loss.detach()))


def _standardised(
    classifier: SuccessClassifier, episodes: Sequence[Tensor], features: Sequence[Tensor], config: ClassifierConfig
) -> list[Tensor]:
    """Inputs (crops, T, F) for each episode's images (T, cameras, 3, H, W); all but the first are of shifted ones.

    features (T, E): of each episode's images as they are.
    """
    plain = [classifier.inputs(its) for its in features]
    every = torch.cat(plain)
    classifier.mean.copy_(every.mean(0))
    classifier.deviation.copy_(every.std(0).clamp(min=_SMALLEST_DEVIATION))
    versions: list[Tensor] = []
    for images, as_it_is in zip(episodes, plain, strict=True):
        shifted = [classifier.features(random_shift_alike(images, config.shift)) for _ in range(config.crops - 1)]
        inputs = torch.stack([as_it_is, *map(classifier.inputs, shifted)])
        versions.append((inputs - classifier.mean) / classifier.deviation)
    return versions


def _parts(episodes: Sequence[LabelledEpisode], folds: int, seed: int) -> list[int]:
    """Which part of ``folds`` each episode is in; every part holds its share of successes and of failures."""
    order = np.random.default_rng(seed).permutation(len(episodes))
    ranked = [int(i) for kind in (True, False) for i in order if episodes[i].success == kind]
    part_of = [0] * len(episodes)
    for rank, index in enumerate(ranked):
        part_of[index] = rank % folds
    return part_of
