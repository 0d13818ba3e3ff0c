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
from dexloop.networks.encoders import random_shift_alike
from dexloop.networks.latent import stack_images
from dexloop.networks.pretrained import ImageEncoder
from dexloop.rewards.labelled import FrameLabel, LabelledEpisode
from dexloop.rewards.typical import Typical
from dexloop.types import Judgement, Observation, Step

_WIDTH = 128
_MOST_FOLDS = 20
_LONGEST_MOTION = 10.0
# A feature that hardly moves must not be blown up into noise.
_SMALLEST_DEVIATION = 0.01


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    """folds: heads, at least 2; each learns without another part of the episodes, on which it is measured.

    updates: of each head, gradient steps of ``batch`` frames, half of them positive. threshold: the probability
    above which a frame counts as success. motion_seconds: it is also told how what it sees has changed since so
    long ago each [s], as a picture does not show whether the object is at rest; empty for pictures alone. crops:
    versions of each episode, all but one shifted at random by up to ``shift`` [pixels]. input_noise: deviation of
    the noise on standardised inputs. typical: a frame counts only where it is no farther from the successes shown
    than this share of them is, measured on episodes left out; 1 counts all. window_seconds: how long success must
    be seen before it counts [s], longer than the task's own half second so that it is seldom called early; hits:
    the share of that window's frames that must say so. margin_seconds: of frames just before success, which may
    look the same and teach nothing [s].
    """

    folds: int = 4
    updates: int = 2_000
    batch: int = 128
    threshold: float = 0.5
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    motion_seconds: tuple[float, ...] = (0.2, 0.5)
    crops: int = 6
    shift: int = 3
    input_noise: float = 0.3
    typical: float = 0.95
    window_seconds: float = 1.0
    hits: float = 0.7
    margin_seconds: float = 0.5

    def __post_init__(self) -> None:
        """Raise DexloopError for a value that cannot be meant."""
        if not 2 <= self.folds <= _MOST_FOLDS:
            raise DexloopError(f"--classifier.folds must lie in [2, {_MOST_FOLDS}], got {self.folds}")
        if not all(0 < seconds <= _LONGEST_MOTION for seconds in self.motion_seconds):
            raise DexloopError(
                f"--classifier.motion-seconds must be above 0 and at most {_LONGEST_MOTION:g} each, "
                f"got {list(self.motion_seconds)}"
            )
        if self.crops < 1:
            raise DexloopError(f"--classifier.crops must be at least 1, got {self.crops}")
        if not 0 < self.threshold < 1:
            raise DexloopError(f"--classifier.threshold must lie in (0, 1), got {self.threshold:g}")
        if not 0 < self.typical <= 1:
            raise DexloopError(f"--classifier.typical must lie in (0, 1], got {self.typical:g}")


class SuccessClassifier(nn.Module):
    """P(success | images): what the policy's frozen encoder sees, through small networks whose mean logit counts.

    The encoder has learned on all of the demonstrations where things are; labels are too few to learn that from. How
    strong each point is tells whether the thing is there at all: an empty hand has points as well.
    lags: it also sees how the features have changed since so many frames ago each; before an episode's first frame
    nothing had moved. typical: what looks like no success that was shown is none, whatever the networks say.
    """

    def __init__(self, encoder: ImageEncoder, heads: int, lags: Sequence[int] = ()) -> None:
        super().__init__()
        self.encoder = encoder
        self.lags = tuple(lags)
        size = encoder.detection_size * (1 + len(self.lags))
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))
        self.heads = nn.ModuleList([_head(size) for _ in range(heads)])
        self.typical = Typical(encoder.cameras, encoder.detection_size)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B,) for standardised inputs (B, F)."""
        return torch.stack([head(features).squeeze(-1) for head in self.heads]).mean(0)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Points and their strengths (T, E) of images (T, cameras, 3, H, W)."""
        return torch.cat([self.encoder.detect(part) for part in images.split(256)])

    def inputs(self, features: Tensor) -> Tensor:
        """What a head is asked about (T, F), not standardised: features (T, E) of successive frames, and changes."""
        rows = torch.arange(len(features))
        return torch.cat([features, *(features - features[(rows - lag).clamp(min=0)] for lag in self.lags)], 1)

    @torch.no_grad()
    def probabilities(self, inputs: Tensor) -> np.ndarray:
        """Probabilities (B,) of success for inputs (B, F), not standardised; 0 where nothing like it was shown."""
        seen = self.typical(inputs[:, : self.encoder.detection_size])
        return (torch.sigmoid(self((inputs - self.mean) / self.deviation)) * seen).numpy()

    def scores(self, observations: Sequence[Observation]) -> np.ndarray:
        """Probabilities (T,) of success in an episode's observations after its first steps."""
        return self.probabilities(self.inputs(self.features(stack_images(observations, self.encoder.cameras))))


@dataclass(frozen=True, slots=True)
class ClassifierReport:
    """How good each head is on the episodes it never saw, all together: what ``reward/metrics.json`` holds.

    precision, recall, accuracy: over frames at ``threshold``. false_positives_per_failed_episode
    early_successes (called before they were, of the successful) and missed_successes: over episodes, after the
    debounce; the latter two over those whose labels say when success began.
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
    episodes: int
    failed_episodes: int


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
    return classifier.eval(), _measure(episodes, scores, config, control_hz)


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


def _head(size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(size, _WIDTH), nn.LayerNorm(_WIDTH), nn.ReLU(), nn.Dropout(0.2), nn.Linear(_WIDTH, 1)
    )


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


class ClassifierReward:
    """Reward 1 and the end of the episode once enough of the last frames look like success."""

    def __init__(self, classifier: SuccessClassifier, threshold: float, *, window: int, hits: float) -> None:
        self.classifier = classifier
        self.threshold = threshold
        self._debounce = Debounce(window, hits)
        self._seen: deque[Tensor] = deque(maxlen=1 + max(classifier.lags, default=0))

    def reset(self) -> None:
        """Forget the frames of the last episode."""
        self._debounce.reset()
        self._seen.clear()

    def judge(self, observation: Observation, step: Step) -> Judgement:
        """The classifier's word on what is seen after the step; score is its probability."""
        classifier = self.classifier
        self._seen.extend(classifier.features(stack_images([step.observation], classifier.encoder.cameras)))
        score = float(classifier.probabilities(classifier.inputs(torch.stack(list(self._seen)))[-1:])[0])
        success = self._debounce(score > self.threshold)
        return Judgement(float(success), success, success, score)


def frames(seconds: float, control_hz: float) -> int:
    """So long in frames, at least one."""
    return max(1, round(seconds * control_hz))


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


def _parts(episodes: Sequence[LabelledEpisode], folds: int, seed: int) -> list[int]:
    """Which part of ``folds`` each episode is in; every part holds its share of successes and of failures."""
    order = np.random.default_rng(seed).permutation(len(episodes))
    ranked = [int(i) for kind in (True, False) for i in order if episodes[i].success == kind]
    part_of = [0] * len(episodes)
    for rank, index in enumerate(ranked):
        part_of[index] = rank % folds
    return part_of


def _measure(
    episodes: Sequence[LabelledEpisode], scores: Sequence[np.ndarray], config: ClassifierConfig, control_hz: float
) -> ClassifierReport:
    window, threshold = frames(config.window_seconds, control_hz), config.threshold
    counts: dict[Any, int] = {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    false_alarms = early = missed = failed = succeeded = 0
    for episode, values in zip(episodes, scores, strict=True):
        debounce = Debounce(window, config.hits)
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
        episodes=len(episodes),
        failed_episodes=failed,
    )
