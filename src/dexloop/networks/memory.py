"""What image features were on the average, in the episode so far."""

from __future__ import annotations

import torch
from torch import Tensor


class FeatureMemory:
    """The mean of features over an episode so far, the latest ``horizon`` frames counting most.

    A hand that is about to grasp hides the object from the cameras, and what can be read of where it is in one frame is
    a guess. It mostly lies still until it is touched, so that the mean tells it better than any frame does; who looks
    at a frame as well sees what has changed. An exponential mean, begun without bias as in Adam (arXiv 1412.6980).
    """

    def __init__(self, horizon: int) -> None:
        """horizon: of the mean [control steps]; raises ValueError where it is not at least one."""
        if not horizon >= 1:
            raise ValueError(f"a memory of {horizon} frames")
        self._keep = 1.0 - 1.0 / horizon
        self._total: Tensor | None = None
        self._weight = 0.0

    def recall(self, features: Tensor) -> Tensor:
        """The mean (T, F) up to and with each of the next T frames, of their features (T, F)."""
        means: list[Tensor] = []
        total = torch.zeros_like(features[0]) if self._total is None else self._total
        for frame in features:
            total = self._keep * total + frame
            self._weight = self._keep * self._weight + 1.0
            means.append(total / self._weight)
        self._total = total
        return torch.stack(means)
