"""From a stored episode to its latents: read where they are kept, else encoded, and kept."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from dexloop.algorithms.samples import observations_of
from dexloop.data.features import KeptFeatures
from dexloop.networks.latent import LatentEncoder
from dexloop.types import Episode


class EpisodeEncoder:
    """Latents (T + 1, crops, D) of episodes, as the replay holds them: standardised.

    Standardised ones are kept, not the raw ones, so that reading them is all there is to do and no number can come out
    otherwise; the fingerprint covers the standardisation too. The first crop is the picture as it is, the
    others are shifted at random as in the encoder's training. The shifts follow from the key alone: neither order nor
    a resume changes them, and no other random number does.
    """

    def __init__(
        self, latent: LatentEncoder, *, crops: int = 1, shift: int = 0, kept: KeptFeatures | None = None
    ) -> None:
        """shift: of the other crops [pixels]. kept: where latents of ``recipe`` are, None to keep none."""
        self.latent = latent
        self.crops = crops
        self._shift = shift
        self.kept = kept

    @staticmethod
    def recipe(latent: LatentEncoder, *, crops: int, shift: int) -> str:
        """A name for everything that latents depend on but the episode and its key."""
        return latent.fingerprint() + (f"-{crops}x{shift}" if crops > 1 else "")

    def __call__(self, key: str, episode: Episode) -> Tensor:
        """The latents of ``episode``; key: its dataset and number, "demos/3"."""
        if self.kept is None:
            return self._encode(key, episode)
        found = self.kept.read(key, episode)
        if found is not None and found.shape == (len(episode) + 1, self.crops, self.latent.size):
            return torch.from_numpy(found)
        latents = self._encode(key, episode)
        self.kept.write(key, episode, latents.numpy())
        return latents

    def _encode(self, key: str, episode: Episode) -> Tensor:
        seen = observations_of(episode)
        crops = [self.latent.encode(seen)]
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        for _ in range(self.crops - 1):
            crops.append(self.latent.encode(seen, shift=self._shift, generator=generator))
        return torch.stack(crops, 1)
