"""A binary success classifier on the camera images, and the reward that is read from it online."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dexloop.errors import DexloopError
from dexloop.networks.encoders import EncoderConfig, KeypointEncoder, random_shift
from dexloop.networks.latent import stack_images
from dexloop.rewards.labelled import FrameLabel, LabelledEpisode
from dexloop.types import Judgement, Observation, Step

_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    """updates: gradient steps of ``batch`` frames, half of them positive. shift: random shift [pixels].

    held_out: share of the episodes kept for measuring. window_seconds: how long success must be seen
    before it counts [s], longer than the task's own half second so that it is seldom called early; hits:
    the share of that window's frames that must say so. margin_seconds: of frames just before success,
    which may look the same and teach nothing [s].
    """

    updates: int = 1_200
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    shift: int = 3
    keypoints: int = 16
    held_out: float = 0.25
    window_seconds: float = 1.0
    hits: float = 0.9
    margin_seconds: float = 0.5


class SuccessClassifier(nn.Module):
    """P(success | images): image points of every camera through a small network."""

    def __init__(self, cameras: tuple[str, ...], keypoints: int) -> None:
        super().__init__()
        self.encoder = KeypointEncoder(cameras, EncoderConfig(keypoints=keypoints))
        self.head = nn.Sequential(
            nn.Linear(self.encoder.feature_size, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B,) for images (B, cameras, 3, H, W)."""
        return self.head(self.encoder(images)).squeeze(-1)

    @torch.no_grad()
    def scores(self, observations: Sequence[Observation]) -> np.ndarray:
        """Probabilities (B,) of success in these observations."""
        images = stack_images(observations, self.encoder.cameras)
        return torch.sigmoid(torch.cat([self(part) for part in images.split(256)])).numpy()


@dataclass(frozen=True, slots=True)
class ClassifierReport:
    """How good a classifier is on episodes it never saw: what ``reward/metrics.json`` holds.

    precision, recall, accuracy: over held-out frames at ``threshold``. false_positives_per_failed_episode
    early_successes (called before they were, of the successful) and missed_successes: over held-out
    episodes, after the debounce; the latter two over those whose labels say when success began.
    """

    threshold: float
    precision: float
    recall: float
    accuracy: float
    false_positives_per_failed_episode: float
    early_successes: float
    missed_successes: float
    positives: int
    negatives: int
    episodes_trained: int
    episodes_held_out: int
    failed_episodes_held_out: int


def train_classifier(
    episodes: Sequence[LabelledEpisode],
    cameras: tuple[str, ...],
    config: ClassifierConfig,
    *,
    window: int,
    seed: int,
    progress: Callable[[int, float], None] = lambda update, loss: None,
) -> tuple[SuccessClassifier, ClassifierReport]:
    """Train on part of the episodes, choose the threshold and measure on the rest.

    window: frames of the online debounce. Raises DexloopError without a single positive frame.
    """
    trained, held_out = _split(episodes, config.held_out, seed)
    images, labels = _frames(trained, cameras)
    positive, negative = torch.nonzero(labels == 1)[:, 0], torch.nonzero(labels == 0)[:, 0]
    if len(positive) == 0 or len(negative) == 0:
        missing = "successful" if len(positive) == 0 else "unsuccessful"
        raise DexloopError(f"the reward classifier needs {missing} frames; record or label some episodes")
    classifier = SuccessClassifier(cameras, config.keypoints)
    optimizer = torch.optim.AdamW(
        classifier.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    half = config.batch // 2
    for update in range(config.updates):
        rows = torch.cat(
            [
                positive[torch.randint(len(positive), (half,))],
                negative[torch.randint(len(negative), (half,))],
            ]
        )
        logits = classifier(random_shift(images[rows], config.shift))
        loss = functional.binary_cross_entropy_with_logits(logits, labels[rows].float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if update % 20 == 0:
            progress(update, float(loss.detach()))
    classifier.eval()
    return classifier, _measure(classifier, held_out, len(trained), window, config.hits)


class ClassifierReward:
    """Reward 1 and the end of the episode once enough of the last frames look like success."""

    def __init__(self, classifier: SuccessClassifier, threshold: float, *, window: int, hits: float) -> None:
        self.classifier = classifier
        self.threshold = threshold
        self._debounce = Debounce(window, hits)

    def reset(self) -> None:
        """Forget the frames of the last episode."""
        self._debounce.reset()

    def judge(self, observation: Observation, step: Step) -> Judgement:
        """The classifier's word on what is seen after the step; score is its probability."""
        score = float(self.classifier.scores([step.observation])[0])
        success = self._debounce(score > self.threshold)
        return Judgement(float(success), success, success, score)


class Debounce:
    """k-of-n: true once at least ``share`` of the last ``window`` answers were true."""

    def __init__(self, window: int, share: float) -> None:
        self._recent: deque[bool] = deque(maxlen=window)
        self._needed = max(1, round(window * share))

    def reset(self) -> None:
        """Start anew."""
        self._recent.clear()

    def __call__(self, hit: bool) -> bool:
        self._recent.append(hit)
        return sum(self._recent) >= self._needed


def _split(
    episodes: Sequence[LabelledEpisode], share: float, seed: int
) -> tuple[list[LabelledEpisode], list[LabelledEpisode]]:
    """Split by episode, successes and failures alike, so that both sides hold both kinds."""
    order = np.random.default_rng(seed).permutation(len(episodes))
    sides: tuple[list[LabelledEpisode], list[LabelledEpisode]] = ([], [])
    for kind in (True, False):
        chosen = [episodes[i] for i in order if episodes[i].success == kind]
        cut = len(chosen) - round(len(chosen) * share)
        sides[0].extend(chosen[:cut])
        sides[1].extend(chosen[cut:])
    return sides


def _frames(episodes: Sequence[LabelledEpisode], cameras: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    images: list[Tensor] = []
    labels: list[int] = []
    for episode in episodes:
        kept = [(o, v) for o, v in zip(episode.observations, episode.labels, strict=True) if v != FrameLabel.UNSURE]
        if kept:
            images.append(stack_images([o for o, _ in kept], cameras))
            labels.extend(int(v) for _, v in kept)
    if not images:
        return torch.zeros(0, len(cameras), 3, 0, 0, dtype=torch.uint8), torch.zeros(0)
    return torch.cat(images), torch.tensor(labels)


def _measure(
    classifier: SuccessClassifier, held_out: Sequence[LabelledEpisode], trained: int, window: int, hits: float
) -> ClassifierReport:
    scores = [classifier.scores(e.observations) for e in held_out]
    reports = [_report(held_out, scores, t, trained, window, hits) for t in _THRESHOLDS]

    def badness(report: ClassifierReport) -> tuple[float, float]:
        # A false success poisons the replay; a late one costs a few steps.
        false = report.false_positives_per_failed_episode + report.early_successes
        errors = false + 0.5 * report.missed_successes
        return errors, -report.accuracy

    return min(reports, key=badness)


def _report(
    episodes: Sequence[LabelledEpisode],
    scores: Sequence[np.ndarray],
    threshold: float,
    trained: int,
    window: int,
    hits: float,
) -> ClassifierReport:
    counts: dict[Any, int] = {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    false_alarms = early = missed = failed = succeeded = 0
    for episode, values in zip(episodes, scores, strict=True):
        debounce = Debounce(window, hits)
        fired = begun = False
        # Without labels that say when success began there is no early and no late.
        timed = episode.success and episode.timed
        for value, label in zip(values, episode.labels, strict=True):
            begun = begun or label == FrameLabel.SUCCESS
            if debounce(bool(value > threshold)) and not fired:
                fired = True
                early += timed and not begun
            if label == FrameLabel.UNSURE:
                continue
            outcome = ("t" if (value > threshold) == (label == 1) else "f") + ("p" if value > threshold else "n")
            counts[outcome] += 1
        failed += not episode.success
        succeeded += timed
        false_alarms += fired and not episode.success
        missed += timed and not fired
    tp, fp, fn, tn = counts["tp"], counts["fp"], counts["fn"], counts["tn"]
    return ClassifierReport(
        threshold=threshold,
        precision=tp / max(tp + fp, 1),
        recall=tp / max(tp + fn, 1),
        accuracy=(tp + tn) / max(tp + fp + fn + tn, 1),
        false_positives_per_failed_episode=false_alarms / max(failed, 1),
        early_successes=early / max(succeeded, 1),
        missed_successes=missed / max(succeeded, 1),
        positives=tp + fn,
        negatives=tn + fp,
        episodes_trained=trained,
        episodes_held_out=len(episodes),
        failed_episodes_held_out=failed,
    )
