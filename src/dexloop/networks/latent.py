"""What the heads see: standardised proprioception, privileged state, image features, and what those were."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dexloop.networks.encoders import random_shift
from dexloop.networks.memory import FeatureMemory
from dexloop.networks.pretrained import ImageEncoder
from dexloop.types import Observation

# A feature that hardly moves in the demonstrations must not be blown up into noise.
_SMALLEST_DEVIATION = 0.02
_LATENT_LIMIT = 5.0
# To be raised whenever the same weights give other latents than before, as kept ones are then of no use.
_LATENT_VERSION = 1


class LatentEncoder(nn.Module):
    """Maps observations to latents (B, D): [proprioception, privileged state, image features, their mean so far].

    Each entry is standardised by the mean and deviation that ``fit`` found, and clipped to ±5.
    With ``encoder`` the images are used, without it they are not; ``privileged`` tells whether the
    simulation's state is. memory: the horizon of a ``FeatureMemory`` [control steps], 0 for none.
    The whole module is frozen while a policy learns on its outputs.
    """

    def __init__(self, state_size: int, encoder: ImageEncoder | None, *, privileged: bool, memory: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        self.privileged = privileged
        self.state_size = state_size
        self.memory = memory
        features = encoder.feature_size if encoder else 0
        self.size = state_size + features * (2 if memory else 1)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(state_size + features))
        self.register_buffer("deviation", torch.ones(state_size + features))

    def raw(
        self,
        observations: Sequence[Observation],
        *,
        shift: int = 0,
        generator: torch.Generator | None = None,
        chunk: int = 256,
    ) -> Tensor:
        """Latents before standardisation, without a mean; images pass through in chunks to bound memory.

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

    def remember(self) -> FeatureMemory | None:
        """The memory for an episode that begins, None for an encoder without one."""
        return FeatureMemory(self.memory) if self.memory else None

    def encode(
        self,
        observations: Sequence[Observation],
        *,
        memory: FeatureMemory | None = None,
        shift: int = 0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Standardised latents (T, D) of the next observations of an episode, in their order.

        memory: what ``remember`` gave for this episode; None where these are its first. shift: move images at random
        by up to so many pixels first.
        """
        latents = (self.raw(observations, shift=shift, generator=generator) - self.mean) / self.deviation
        latents = latents.clamp(-_LATENT_LIMIT, _LATENT_LIMIT)
        memory = memory or self.remember()
        return latents if memory is None else torch.cat([latents, memory.recall(latents[:, self.state_size :])], -1)

    def fingerprint(self) -> str:
        """A hash of all that latents depend on; those made under another one are not the same thing."""
        images = None if self.encoder is None else (self.encoder.cameras, self.encoder.config)
        how = (_LATENT_VERSION, self.privileged, images, *((self.memory,) if self.memory else ()))
        digest = hashlib.sha256(repr(how).encode())
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
