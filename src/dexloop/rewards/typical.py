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

    A classifier learns what tells successes from the failures that were shown, and takes for success whatever differs
    from those. A policy that learns from its word finds that: grasps at the border of what counts, of which there was
    no example. So frames too far from all shown successes count as none: by Mahalanobis distance (Lee et al., A
    Simple Unified Framework for Detecting Out-of-Distribution Samples, 2018), in which directions count that vary
    little among successes, such as where the object lies in the hand, and hardly those that vary, such as where it is.
    Of cameras that have a nearer look at the hand only that counts: a policy that has become fast ends elsewhere.

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
