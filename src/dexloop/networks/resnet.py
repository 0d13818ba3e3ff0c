"""The first half of a ResNet (arXiv 1512.03385), frozen, with the parameter names of timm so that its files load."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# The mean and deviation of ImageNet's pixels, in [0, 1], that both networks were trained with.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_WIDTHS = (64, 128)

# Blocks in each of the two stages; "t" has timm's tiered stem and shortcuts that average instead of skipping pixels.
_DEPTHS = {"resnet10t": 1, "resnet18": 2}
BACKBONES = tuple(_DEPTHS)


class FrozenBatchNorm(nn.Module):
    """Batch normalisation by stored statistics alone, whether or not a module around it is training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor
        self.running_mean: Tensor
        self.running_var: Tensor
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) to the same."""
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, averaging: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = FrozenBatchNorm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = FrozenBatchNorm(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, 1 if averaging else stride, bias=False)
            pool = [nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)] if averaging else []
            self.downsample = nn.Sequential(*pool, projection, FrozenBatchNorm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, outputs, h / stride, w / stride) of maps (B, inputs, h, w)."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.downsample(x))


class ResNetTrunk(nn.Module):
    """Stem and first two stages of ``resnet10t`` or ``resnet18``, as one map at a quarter of the image's size.

    Both stages together, the coarser one enlarged ("hypercolumns", arXiv 1411.5752): the first says to a few pixels
    where something is, the second sees most of a small image and says what. The two that are left out have maps
    of 4 x 4 and 2 x 2 at 64 pixels, and nine tenths of the weights.
    """

    channels = sum(_WIDTHS)

    def __init__(self, name: str) -> None:
        """Raises ValueError for a name that is none of ``BACKBONES``."""
        super().__init__()
        if name not in _DEPTHS:
            raise ValueError(f"there is no backbone {name!r}")
        tiered = name.endswith("t")
        self.conv1 = _tiered_stem() if tiered else nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = FrozenBatchNorm(64)
        self.layer1 = _stage(64, _WIDTHS[0], 1, _DEPTHS[name], averaging=tiered)
        self.layer2 = _stage(_WIDTHS[0], _WIDTHS[1], 2, _DEPTHS[name], averaging=tiered)
        self._mean: Tensor
        self._deviation: Tensor
        self.register_buffer("_mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("_deviation", torch.tensor(_DEVIATION).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, 192, H / 4, W / 4) of images (B, 3, H, W), uint8 or float in [0, 255]."""
        x = (images.to(torch.float32) / 255.0 - self._mean) / self._deviation
        x = functional.relu(self.bn1(self.conv1(x.contiguous(memory_format=torch.channels_last))))
        fine = self.layer1(functional.max_pool2d(x, 3, 2, 1))
        coarse = functional.interpolate(self.layer2(fine), fine.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([fine, coarse], 1)


def _tiered_stem() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, 2, 1, bias=False),
        FrozenBatchNorm(24),
        nn.ReLU(),
        nn.Conv2d(24, 32, 3, 1, 1, bias=False),
        FrozenBatchNorm(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, 1, 1, bias=False),
    )


def _stage(inputs: int, outputs: int, stride: int, depth: int, *, averaging: bool) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride, averaging=averaging)
    rest = [BasicBlock(outputs, outputs, 1, averaging=averaging) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)
