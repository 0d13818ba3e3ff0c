"""Camera images to features: a small convolutional network whose outputs are image points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Which network turns pictures into features.

    name: keypoints, a small network that is trained whole; or resnet10t or resnet18, a frozen ImageNet backbone
    whose weights are fetched once from the Hugging Face hub (`pip install 'dexloop[pretrained]'`); only which
    points of its maps count is then trained. keypoints: image points a camera yields. width: channels of the small
    network's convolutions. weights: a safetensors file of the backbone as timm has it, instead of the hub's.
    """

    name: Literal["keypoints", "resnet10t", "resnet18"] = "keypoints"
    keypoints: int = 32
    width: int = 16
    weights: Path | None = None


class SpatialSoftArgmax(nn.Module):
    """Feature maps (B, C, h, w) to the expected image position of each channel, (B, 2C) in [-1, 1].

    Levine et al., "End-to-End Training of Deep Visuomotor Policies", arXiv 1504.00702: a point says
    where something is to a fraction of a pixel, which pooled features lose.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        return self._points(self._weights(maps))

    def detect(self, maps: Tensor) -> Tensor:
        """The points, and the value of each channel where its point is: (B, 3C)."""
        weights = self._weights(maps)
        return torch.cat([self._points(weights), (weights * maps).sum((-2, -1))], -1)

    def _weights(self, maps: Tensor) -> Tensor:
        return (maps * self.log_temperature.exp()).flatten(2).softmax(-1).unflatten(-1, maps.shape[-2:])

    @staticmethod
    def _points(weights: Tensor) -> Tensor:
        height, width = weights.shape[-2:]
        ys = torch.linspace(-1, 1, height, device=weights.device, dtype=weights.dtype)
        xs = torch.linspace(-1, 1, width, device=weights.device, dtype=weights.dtype)
        return torch.cat([(weights.sum(-2) * xs).sum(-1), (weights.sum(-1) * ys).sum(-1)], -1)


def detections(tower: nn.Module, x: Tensor) -> Tensor:
    """What the ``SpatialSoftArgmax`` at the end of ``tower`` detects in what the layers before it make of ``x``."""
    *layers, last = tower.children()
    assert isinstance(last, SpatialSoftArgmax)
    for layer in layers:
        x = layer(x)
    return last.detect(x)


class KeypointEncoder(nn.Module):
    """One small network a camera; features (B, cameras x 2 x keypoints)."""

    def __init__(self, cameras: tuple[str, ...], config: EncoderConfig) -> None:
        super().__init__()
        self.cameras = cameras
        self.config = config
        self.towers = nn.ModuleList([_tower(config) for _ in cameras])
        self.feature_size = len(cameras) * 2 * config.keypoints
        self.detection_size = len(cameras) * 3 * config.keypoints

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, F) of images (B, cameras, 3, H, W), uint8 or float in [0, 255]."""
        return torch.cat([tower(x) for tower, x in zip(self.towers, self._seen(images), strict=True)], -1)

    def detect(self, images: Tensor) -> Tensor:
        """Features, and how strong each point is: (B, cameras x 3 x keypoints), camera after camera.

        A point always is somewhere, also where what it looks for is not in the picture.
        """
        return torch.cat([detections(tower, x) for tower, x in zip(self.towers, self._seen(images), strict=True)], -1)

    @staticmethod
    def _seen(images: Tensor) -> list[Tensor]:
        """Of each camera (B, 3, H, W) in [-0.5, 0.5]."""
        return [
            (x.to(torch.float32) / 255.0 - 0.5).contiguous(memory_format=torch.channels_last) for x in images.unbind(1)
        ]


def _tower(config: EncoderConfig) -> nn.Sequential:
    width = config.width
    return nn.Sequential(
        nn.Conv2d(3, width, 5, 2, 2),
        nn.ReLU(),
        nn.Conv2d(width, width + width // 2, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(width + width // 2, width + width // 2, 3, 1, 1),
        nn.ReLU(),
        nn.Conv2d(width + width // 2, config.keypoints, 3, 1, 1),
        SpatialSoftArgmax(config.keypoints),
    )


def random_shift(images: Tensor, pixels: int, generator: torch.Generator | None = None) -> Tensor:
    """Shift each image by up to ``pixels`` in both directions, edges repeated (DrQ, arXiv 2004.13649).

    images (B, cameras, 3, H, W); every camera of every sample is shifted on its own.
    """
    batch, cameras, _, height, width = images.shape
    # Moving along clamped coordinates repeats the edges without making a padded copy.
    size = (2, batch * cameras, 1)
    offsets = torch.randint(-pixels, pixels + 1, size, generator=generator, device=images.device)
    rows = (torch.arange(height, device=images.device) + offsets[0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + offsets[1]).clamp(0, width - 1)
    first = torch.arange(batch * cameras, device=images.device)[:, None, None] * height * width
    index = (first + rows[:, :, None] * width + columns[:, None, :]).flatten()
    # A row for each pixel of all pictures: gathering by one index costs a quarter of gathering by three.
    shifted = images.permute(0, 1, 3, 4, 2).reshape(-1, images.shape[2]).index_select(0, index)
    return shifted.view(batch, cameras, height, width, -1).permute(0, 1, 4, 2, 3)


def random_shift_alike(images: Tensor, pixels: int) -> Tensor:
    """The same for an episode (T, cameras, 3, H, W), all pictures of a camera alike: else they would seem to move."""
    steps, cameras, colours, height, width = images.shape
    as_one = images.transpose(0, 1).reshape(1, cameras, steps * colours, height, width)
    return random_shift(as_one, pixels).reshape(cameras, steps, colours, height, width).transpose(0, 1)
