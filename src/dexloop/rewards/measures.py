"""How good a success classifier is, frame by frame and episode by episode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dexloop.rewards.config import ClassifierConfig
from dexloop.rewards.debounce import Debounce, frames
from dexloop.rewards.labelled import FrameLabel, LabelledEpisode


@dataclass(frozen=True, slots=True)
class ClassifierReport:
    """How good each head is on the episodes it never saw, all together: what ``reward/metrics.json`` holds.

    precision, recall, accuracy: over frames at ``threshold``. false_positives_per_failed_episode,
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


def measure(
    episodes: Sequence[LabelledEpisode], scores: Sequence[np.ndarray], config: ClassifierConfig, control_hz: float
) -> ClassifierReport:
    """Of labelled episodes, given the probabilities (T,) of success in each one's frames."""
    window, threshold = frames(config.window_seconds, control_hz), config.threshold
    counts = Counter[str]()
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
