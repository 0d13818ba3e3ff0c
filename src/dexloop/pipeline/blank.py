"""A control: the same policy, shown blank images. Where objects lie at random it must fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dexloop.core import Policy
from dexloop.types import Observation, Proposal


class BlankImages:
    """Acts as ``policy`` would if every camera saw nothing but grey."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def reset(self, seed: int) -> None:
        """As the policy's."""
        self._policy.reset(seed)

    def act(self, observation: Observation, explore: bool) -> Proposal:
        """The policy's action on grey images."""
        grey = {camera: np.full_like(image, 128) for camera, image in observation.images.items()}
        return self._policy.act(replace(observation, images=grey), explore)
