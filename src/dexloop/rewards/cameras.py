"""The reward that is read from what the cameras see."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from dexloop.networks.latent import stack_images
from dexloop.rewards.classifier import SuccessClassifier
from dexloop.rewards.debounce import Debounce
from dexloop.types import Judgement, Observation, Step


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
