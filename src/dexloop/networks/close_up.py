"""A second, magnified copy of what the critics see, for the millimetres on which success depends."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LIMIT = 5.0
# Entries that are all but constant before success are not blown up into noise.
_LARGEST_MAGNIFICATION = 10.0


class CloseUp(nn.Module):
    """Appends to latents (B, D) the same entries, standardised as they are just before success: (B, 2 D).

    Latents are standardised over whole episodes, in which the hand moves by decimetres. Whether a grasp holds
    is decided within millimetres, a tenth of a deviation, which a network can hardly tell apart: critics then think
    well of every grasp. Beyond five deviations the copy is clipped: it says "far away" and no more.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.centre: Tensor
        self.magnification: Tensor
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("magnification", torch.ones(size))

    def focus(self, latents: Tensor) -> None:
        """Centre and magnification from latents (N, D) of demonstrations that are about to succeed."""
        self.centre.copy_(latents.mean(0))
        self.magnification.copy_(1.0 / latents.std(0, correction=0).clamp(min=1.0 / _LARGEST_MAGNIFICATION))

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (B, D) and their close-up, (B, 2 D)."""
        near = ((latents - self.centre) * self.magnification).clamp(-_LIMIT, _LIMIT)
        return torch.cat([latents, near], -1)
