"""A frozen convolutional encoder of ResNet-10's shape, and the head and critics that learn on its maps.

The weights are random, as time does not depend on them. Shapes follow HIL-SERL (arXiv 2410.21845): a frozen
ResNet-10 with GroupNorm, spatial embeddings of eight features a channel, and 256 numbers a camera.
"""

from __future__ import annotations

import copy
import time

import torch
from torch import Tensor, nn
from torch.nn import functional

from dexloop.networks.critics import EnsembleCritic
from dexloop.networks.policies import GaussianPolicy

CHANNELS = (64, 128, 256, 512)
STRIDE = 32
_GROUPS = 4
_CHUNK = 64
_EMBEDDINGS = 8
_HEAD_SIZE = 256
_DISCOUNT = 0.97
_TARGET_RATE = 0.005


class Block(nn.Module):
    """A basic residual block (arXiv 1512.03385) with GroupNorm."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.GroupNorm(_GROUPS, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.GroupNorm(_GROUPS, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.GroupNorm(_GROUPS, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, outputs, h / stride, w / stride) of maps (B, inputs, h, w)."""
        inner = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.shortcut(x) + self.second_norm(self.second(inner)))


class FrozenEncoder(nn.Module):
    """Images to maps of 512 channels at a 32nd of the size: one block for each of four widths."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS[0], 7, 2, 3, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, CHANNELS[0])
        inputs = (CHANNELS[0], *CHANNELS[:-1])
        blocks = [Block(i, o, 1 if i == o else 2) for i, o in zip(inputs, CHANNELS, strict=True)]
        self.blocks = nn.Sequential(*blocks)
        self.to(memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, cameras, 512, H / 32, W / 32) float32 of images (B, cameras, 3, H, W) uint8."""
        maps = [self._encode(chunk) for chunk in images.flatten(0, 1).split(_CHUNK)]
        return torch.cat(maps).unflatten(0, images.shape[:2]).float()

    def _encode(self, images: Tensor) -> Tensor:
        x = images.to(self.stem.weight.dtype, memory_format=torch.channels_last) / 127.5 - 1.0
        x = functional.relu(self.norm(self.stem(x)))
        return self.blocks(functional.max_pool2d(x, 3, 2, 1))

    def in_fastest_form(self, images: Tensor) -> FrozenEncoder:
        """Itself in float32 or in bfloat16, whichever this processor runs faster on ``images``."""
        forms = [self, copy.deepcopy(self).to(torch.bfloat16)]
        return min(forms, key=lambda form: _seconds(form, images))


def _seconds(encoder: FrozenEncoder, images: Tensor) -> float:
    encoder(images)
    began = time.process_time()
    encoder(images)
    return time.process_time() - began


class SpatialHead(nn.Module):
    """Maps (B, 512, h, w) of one camera to (B, 256): a learned weighting of places, then a dense layer."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(CHANNELS[-1], places, _EMBEDDINGS) / places**0.5)
        self.dense = nn.Linear(CHANNELS[-1] * _EMBEDDINGS, _HEAD_SIZE)
        self.norm = nn.LayerNorm(_HEAD_SIZE)

    def forward(self, maps: Tensor) -> Tensor:
        """As the class says."""
        embedded = torch.bmm(maps.flatten(2).transpose(0, 1), self.kernel).transpose(0, 1)
        return torch.tanh(self.norm(self.dense(embedded.flatten(1))))


class VisionCritic(nn.Module):
    """A head a camera, and an ensemble of critics on what the heads and the state say."""

    def __init__(self, cameras: int, places: int, state_size: int, action_size: int, members: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList([SpatialHead(places) for _ in range(cameras)])
        self.size = cameras * _HEAD_SIZE + state_size
        self.ensemble = EnsembleCritic(self.size, action_size, members)

    def encode(self, maps: Tensor, state: Tensor) -> Tensor:
        """What critics and policy see, (B, D), of maps (B, cameras, 512, h, w)."""
        return torch.cat([*(head(maps[:, i]) for i, head in enumerate(self.heads)), state], -1)


class VisionLearner:
    """Updates heads and critics from maps, however these were come by."""

    def __init__(self, batch: int, image_size: int, *, state_size: int, action_size: int, members: int = 10) -> None:
        places = (image_size // STRIDE) ** 2
        self.members = members
        self.critic = VisionCritic(2, places, state_size, action_size, members)
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        self.policy = GaussianPolicy(self.critic.size, action_size, learn_deviation=True)
        self._optimizer = torch.optim.Adam(self.critic.parameters(), 3e-4, fused=True)
        self._state = torch.randn(batch, state_size)
        self._action = torch.rand(batch, action_size) * 2 - 1
        self._reward = torch.zeros(batch)

    def update(self, maps: Tensor, next_maps: Tensor) -> Tensor:
        """One update on current and next maps (B, cameras, 512, h, w); returns the loss."""
        with torch.no_grad():
            action, _ = self.policy.sample(self.critic.encode(next_maps, self._state))
            subset = torch.randperm(self.members)[:2]
            seen = self.target.encode(next_maps, self._state)
            target = self._reward + _DISCOUNT * self.target.ensemble(seen, action, subset).amin(0)
        values = self.critic.ensemble(self.critic.encode(maps, self._state), self._action)
        loss = (values - target).square().mean(1).sum()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.critic.parameters(), strict=True):
                slow.lerp_(fast, _TARGET_RATE)
        return loss.detach()
