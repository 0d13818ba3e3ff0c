"""Image encoders: the small network trained from scratch, or image points on the maps of a frozen ImageNet backbone."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from dexloop.errors import DexloopError
from dexloop.networks.encoders import EncoderConfig, KeypointEncoder, SpatialSoftArgmax, detections
from dexloop.networks.resnet import ResNetTrunk
from dexloop.networks.tensor_files import read_tensors

# timm's files of them (Apache-2.0), as safetensors.
_REPOSITORIES = {"resnet10t": "timm/resnet10t.c3_in1k", "resnet18": "timm/resnet18.a1_in1k"}
_FILE = "model.safetensors"
_INSTEAD = "or give a file that you have with --encoder.weights FILE"


class PretrainedEncoder(nn.Module):
    """A frozen backbone for all cameras, and a learned choice of image points on its maps for each.

    HIL-SERL (arXiv 2410.21845) learns on a frozen ResNet too. Features (B, cameras x 2 x keypoints).
    """

    def __init__(self, cameras: tuple[str, ...], config: EncoderConfig) -> None:
        """With random weights; ``load_backbone`` has the others. Raises ValueError for an unknown backbone."""
        super().__init__()
        self.cameras = cameras
        self.config = config
        self.trunk = ResNetTrunk(config.name)
        self.heads = nn.ModuleList([_head(config.keypoints) for _ in cameras])
        self.feature_size = len(cameras) * 2 * config.keypoints
        self.detection_size = len(cameras) * 3 * config.keypoints

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, F) of images (B, cameras, 3, H, W), uint8 or float in [0, 255]."""
        return torch.cat([head(maps) for head, maps in zip(self.heads, self._maps(images), strict=True)], -1)

    def detect(self, images: Tensor) -> Tensor:
        """Features, and how strong each point is, as ``KeypointEncoder.detect``."""
        seen = self._maps(images)
        return torch.cat([detections(head, maps) for head, maps in zip(self.heads, seen, strict=True)], -1)

    def _maps(self, images: Tensor) -> tuple[Tensor, ...]:
        """Of each camera (B, channels, h, w)."""
        return self.trunk(images.flatten(0, 1)).unflatten(0, images.shape[:2]).unbind(1)


ImageEncoder: TypeAlias = KeypointEncoder | PretrainedEncoder


def build_encoder(cameras: tuple[str, ...], config: EncoderConfig) -> ImageEncoder:
    """The encoder of ``config.name`` with random weights; raises ValueError where there is none of that name."""
    if config.name == "keypoints":
        return KeypointEncoder(cameras, config)
    return PretrainedEncoder(cameras, config)


def load_backbone(trunk: ResNetTrunk, config: EncoderConfig) -> None:
    """Put the pretrained weights into ``trunk``, from ``config.weights`` or from the Hugging Face hub.

    Raises DexloopError where the file cannot be had or is not of this backbone.
    """
    path = _from_hub(config.name) if config.weights is None else config.weights
    _, tensors = read_tensors(path, "safetensors file", "no such file; --encoder.weights takes a safetensors file")
    for name, wanted in trunk.state_dict().items():
        if name not in tensors or tensors[name].shape != wanted.shape:
            has = f"of shape {list(tensors[name].shape)}, not {list(wanted.shape)}" if name in tensors else "missing"
            raise DexloopError(f"{path} holds no {config.name} under timm's names: {name} is {has}")
    trunk.load_state_dict({name: tensors[name] for name in trunk.state_dict()})


def _from_hub(name: str) -> Path:
    repository = _REPOSITORIES[name]
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise DexloopError(
            f"--encoder.name {name}: the weights are fetched by huggingface_hub, which is not installed; "
            f"pip install 'dexloop[pretrained]', {_INSTEAD}"
        ) from None
    try:
        return Path(hf_hub_download(repository, _FILE))
    except Exception as error:  # which ones there are depends on its version and on the network
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0]
        raise DexloopError(
            f"--encoder.name {name}: {repository} cannot be fetched from the Hugging Face hub ({reason}); {_INSTEAD}"
        ) from None


def _head(keypoints: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(ResNetTrunk.channels, keypoints, 1), SpatialSoftArgmax(keypoints))
