"""A binary success classifier on the camera images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dexloop.networks.latent import stack_images
from dexloop.networks.pretrained import ImageEncoder
from dexloop.rewards.typical import Typical
from dexloop.types import Observation

_WIDTH = 128


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


def _head(size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(size, _WIDTH), nn.LayerNorm(_WIDTH), nn.ReLU(), nn.Dropout(0.2), nn.Linear(_WIDTH, 1)
    )
