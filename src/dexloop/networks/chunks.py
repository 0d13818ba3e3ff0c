"""Acting with predicted chunks of actions: at every step the mean of what all chunks say about it."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch

from dexloop.networks.act import ActNetwork
from dexloop.networks.latent import LatentEncoder
from dexloop.types import FloatArray, Observation, Proposal


class TemporalEnsemble:
    """The weighted mean of the actions that the last k chunks predicted for this step.

    arXiv 2304.13705, section IV-A: weights exp(-m i), where i = 0 is the oldest prediction; a smaller m takes up what
    is new faster.
    """

    def __init__(self, length: int, decay: float) -> None:
        """length: of a chunk, k [control steps]. decay: m [1/prediction]."""
        self.decay = decay
        self._chunks: deque[FloatArray] = deque(maxlen=length)

    def clear(self) -> None:
        """Forget what was predicted: another episode begins."""
        self._chunks.clear()

    def combine(self, chunk: FloatArray) -> FloatArray:
        """The action (A,) for now, given the chunk (k, A) that begins now; once for each control step."""
        self._chunks.append(chunk)
        newest = len(self._chunks) - 1
        predictions = np.stack([past[newest - index] for index, past in enumerate(self._chunks)])
        weights = np.exp(-self.decay * np.arange(newest + 1))
        return (weights @ predictions / weights.sum()).astype(np.float32)


class ChunkingAgent:
    """Predicts a chunk from every observation and acts by their temporal ensemble, behind ``dexloop.core.Policy``.

    Deterministic: the seed changes nothing, and exploration adds nothing.
    """

    def __init__(self, latent: LatentEncoder, network: ActNetwork, decay: float) -> None:
        self.latent = latent
        self.network = network
        self.ensemble = TemporalEnsemble(network.config.chunk, decay)
        self._memory = latent.remember()

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self.ensemble.clear()
        self._memory = self.latent.remember()

    @torch.no_grad()
    def act(self, observation: Observation, explore: bool) -> Proposal:
        """The action (A,) in [-1, 1] for now; to be asked once at every control step, also while others drive."""
        chunk = self.network.chunk(self.latent.encode([observation], memory=self._memory))[0]
        return Proposal(action=self.ensemble.combine(chunk.numpy()))
