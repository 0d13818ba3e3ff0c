"""What shown successes look like, and whether a picture looks like one of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dexloop.types import HAND_VIEW

# So much of all frames' spread is added to that of successes: too few are shown to know theirs in every direction.
_SHRINKAGE = 0.03
# And so much of the mean variance, for features that never move.
_FLOOR = 1e-6


class Typical(nn.Module):
    """Whether image features lie among those of the successes that were shown.

    A classifier learns to tell successes from the failures that were shown, and may take anything else for success. A
    policy that learns from it finds that: grasps at the border of what counts, of which there was no example. So a
    frame is no success where it is too far from all successes shown, by Mahalanobis distance (Lee et al., A Simple
    Unified Framework for Detecting Out-of-Distribution Samples, 2018). There a direction counts much that varies
    little among successes, such as where the object lies in the hand, and one that varies hardly, such as where the
    hand is. Where cameras have a nearer look at the hand, only its features are measured: a policy that has become
    fast ends elsewhere than the demonstrations.

    cameras: those of the features, in their order, each with as many. Until ``fit`` and with ``farthest`` infinite
    everything is typical.
    """

    def __init__(self, cameras: Sequence[str], size: int) -> None:
        super().__init__()
        near = [camera.endswith(HAND_VIEW) for camera in cameras]
        each = size // len(cameras)
        self._columns = [i for i in range(size) if near[i // each] or not any(near)]
        size = len(self._columns)
        self.center: Tensor
        self.precision: Tensor
        self.farthest: Tensor
        self.register_buffer("center", torch.zeros(size))
        self.register_buffer("precision", torch.zeros(size, size))
        self.register_buffer("farthest", torch.tensor(torch.inf))

    def fit(self, successes: Tensor, every: Tensor) -> None:
        """Take center and spread of ``successes`` (N, E); every (M, E): features of all frames, at least two."""
        successes, every = successes[:, self._columns], every[:, self._columns]
        center = successes.double().mean(0)
        around = successes.double() - center
        spread = around.T @ around / len(successes) + _SHRINKAGE * torch.cov(every.double().T)
        floor = _FLOOR * float(spread.diagonal().mean()) + torch.finfo(torch.float32).tiny
        self.center.copy_(center)
        self.precision.copy_(torch.linalg.inv(spread + floor * torch.eye(len(center), dtype=torch.float64)))

    def distances(self, features: Tensor) -> Tensor:
        """Squared Mahalanobis distances (B,) of features (B, E) from the successes."""
        away = features[:, self._columns] - self.center
        return ((away @ self.precision) * away).sum(1)

    def forward(self, features: Tensor) -> Tensor:
        """Whether (B,) features (B, E) are near enough."""
        return self.distances(features) <= self.farthest
