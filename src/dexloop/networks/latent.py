"""What the heads see of an observation: standardised proprioception, privileged state, image features."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dexloop.networks.encoders import random_shift
from dexloop.networks.pretrained import ImageEncoder
from dexloop.types import Observation

# A feature that hardly moves in the demonstrations must not be blown up into noise.
_SMALLEST_DEVIATION = 0.02
_LATENT_LIMIT = 5.0
# To be raised whenever the same weights give other latents than before, as kept ones are then of no use.
_LATENT_VERSION = 1


class LatentEncoder(nn.Module):
    """Maps observations to latents (B, D): [proprioception, privileged state, image features].

    Each entry is standardised by the mean and deviation that ``fit`` found, and clipped to ±5.
    With ``encoder`` the images are used, without it they are not; ``privileged`` tells whether the
    simulation's state is. The whole module is frozen while a policy learns on its outputs.
    """

    def __init__(self, state_size: int, encoder: ImageEncoder | None, *, privileged: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.privileged = privileged
        self.state_size = state_size
        self.size = state_size + (encoder.feature_size if encoder else 0)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("deviation", torch.ones(self.size))

    def raw(
        self,
        observations: Sequence[Observation],
        *,
        shift: int = 0,
        generator: torch.Generator | None = None,
        chunk: int = 256,
    ) -> Tensor:
        """Latents (B, D) before standardisation; images pass through in chunks to bound memory.

        shift, generator: move every image at random by up to so many pixels first, as ``random_shift`` does.
        """
        states = torch.from_numpy(np.stack([self._state(o) for o in observations]))
        if self.encoder is None:
            return states
        parts: list[Tensor] = []
        with torch.no_grad():
            for first in range(0, len(observations), chunk):
                images = stack_images(observations[first : first + chunk], self.encoder.cameras)
                parts.append(self.encoder(random_shift(images, shift, generator) if shift else images))
        return torch.cat([states, torch.cat(parts)], -1)

    def fit(self, observations: Sequence[Observation], reach_zero: Sequence[int] = ()) -> None:
        """Set mean and deviation from these observations (the demonstrations').

        reach_zero: entries that go down to zero in other episodes, as the remaining time does where demonstrations
        end long before the deadline: their deviation is wide enough that zero is not clipped.
        """
        raw = self.raw(observations)
        self.mean.copy_(raw.mean(0))
        self.deviation.copy_(raw.std(0).clamp(min=_SMALLEST_DEVIATION))
        for entry in reach_zero:
            self.deviation[entry] = max(self.deviation[entry], abs(self.mean[entry]) / _LATENT_LIMIT)

    def encode(
        self, observations: Sequence[Observation], *, shift: int = 0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Standardised latents (B, D), of images shifted at random where ``shift`` says so."""
        latents = (self.raw(observations, shift=shift, generator=generator) - self.mean) / self.deviation
        return latents.clamp(-_LATENT_LIMIT, _LATENT_LIMIT)

    def fingerprint(self) -> str:
        """A hash of all that latents depend on; those made under another one are not the same thing."""
        images = None if self.encoder is None else (self.encoder.cameras, self.encoder.config)
        digest = hashlib.sha256(repr((_LATENT_VERSION, self.privileged, images)).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _state(self, observation: Observation) -> np.ndarray:
        if not self.privileged or observation.privileged is None:
            return observation.proprio
        return np.concatenate([observation.proprio, observation.privileged])


def stack_images(observations: Sequence[Observation], cameras: Sequence[str]) -> Tensor:
    """Images (B, cameras, 3, H, W) uint8; smaller cameras get black at the bottom and on the right."""
    sizes = [observations[0].images[c].shape[:2] for c in cameras]
    height, width = (max(side) for side in zip(*sizes, strict=True))
    stacked = np.zeros((len(observations), len(cameras), height, width, 3), np.uint8)
    for index, (camera, (rows, columns)) in enumerate(zip(cameras, sizes, strict=True)):
        stacked[:, index, :rows, :columns] = [o.images[camera] for o in observations]
    return torch.from_numpy(stacked).permute(0, 1, 4, 2, 3)
