"""Train the image encoder on the run's own episodes, with losses that a real robot can have too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dexloop.errors import DexloopError
from dexloop.networks.encoders import random_shift
from dexloop.networks.latent import stack_images
from dexloop.networks.pretrained import ImageEncoder
from dexloop.types import Episode

# Deviation of a pixel below which it counts as one that does not change [of 1].
_SMALLEST_CHANGE = 0.06


@dataclass(frozen=True, slots=True)
class RepresentationConfig:
    """updates: gradient steps of ``batch`` frames. shift: random shift [pixels].

    horizons: how many control steps ahead the robot's own motion is predicted from a frame. Where
    the hand will be in a demonstration says where the object is, without anybody naming an object.
    reconstruction_weight: of redrawing each picture, small, from the features of its own camera: to draw what moves
    they must tell where it is (deep spatial autoencoders, arXiv 1509.06113).
    proprio_dropout: how often the action head must do without proprioception, so that it looks.
    crops: versions of each frame that online learning draws from, the first as it is and the others shifted as in the
    encoder's training; a batch draws one for each observation and, on its own, one for what followed it. The clone
    learns on frames as they are.
    memory: horizon of the mean of image features that policies and critics see beside those of the present frame
    [control steps], 0 for none (``networks.memory``).
    """

    updates: int = 1_500
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    shift: int = 3
    horizons: tuple[int, ...] = (5, 10, 20, 40)
    prediction_weight: float = 1.0
    reconstruction_weight: float = 1.0
    proprio_dropout: float = 0.3
    crops: int = 4
    memory: int = 50

    def __post_init__(self) -> None:
        """Raise DexloopError for a value that cannot be meant."""
        if self.crops < 1:
            raise DexloopError(f"--representation.crops must be at least 1, got {self.crops}")
        if self.reconstruction_weight < 0.0:
            raise DexloopError(
                f"--representation.reconstruction-weight must not be negative, got {self.reconstruction_weight}"
            )
        if self.memory < 0:
            raise DexloopError(f"--representation.memory must not be negative, got {self.memory}")
        if self.shift < 0:
            raise DexloopError(f"--representation.shift must not be negative, got {self.shift}")


@dataclass(frozen=True, slots=True)
class FrameSet:
    """What the encoder learns from.

    images (N, cameras, 3, H, W) uint8; proprio (N, P), futures (N, H * P) and actions (N, A) float32, the first two
    standardised.
    """

    images: Tensor
    proprio: Tensor
    actions: Tensor
    futures: Tensor


def gather_frames(episodes: Sequence[Episode], cameras: Sequence[str], horizons: Sequence[int]) -> FrameSet:
    """The frames of these episodes with the motion that followed each of them."""
    images: list[Tensor] = []
    proprio: list[np.ndarray] = []
    actions: list[np.ndarray] = []
    futures: list[np.ndarray] = []
    for episode in episodes:
        steps = episode.transitions
        images.append(stack_images([t.observation for t in steps], cameras))
        path = np.stack([t.observation.proprio for t in steps] + [steps[-1].next_observation.proprio])
        now = np.arange(len(steps))
        ahead = [path[np.minimum(now + h, len(steps))] - path[:-1] for h in horizons]
        proprio.append(path[:-1])
        actions.append(np.stack([t.executed for t in steps]))
        futures.append(np.concatenate(ahead, -1))
    return FrameSet(
        torch.cat(images),
        _standardise(np.concatenate(proprio)),
        torch.from_numpy(np.concatenate(actions)),
        _standardise(np.concatenate(futures)),
    )


class _Redrawing(nn.Module):
    """Draws each camera's picture anew from its features alone, 32 x 32 and standardised pixel by pixel.

    So pixels that never change cost nothing, and hand and object, which do, are most of the loss.
    """

    def __init__(self, features: int, images: Tensor) -> None:
        super().__init__()
        small = torch.cat([_shrunk(part) for part in images.split(512)])
        self.mean, self.deviation = small.mean(0), small.std(0).clamp(min=_SMALLEST_CHANGE)
        self._features = features // images.shape[1]
        pixels = small[0, 0].numel()
        self.painters = nn.ModuleList([_painter(self._features, pixels) for _ in range(images.shape[1])])

    def forward(self, points: Tensor, images: Tensor) -> Tensor:
        """Mean squared error of what is drawn from features (B, F), camera after camera; images (B, C, 3, H, W)."""
        target = (_shrunk(images) - self.mean) / self.deviation
        seen = points.split(self._features, -1)
        drawn = torch.stack([paint(part) for paint, part in zip(self.painters, seen, strict=True)], 1)
        return functional.mse_loss(drawn, target.flatten(2))


def _shrunk(images: Tensor) -> Tensor:
    """Pictures (B, C, 3, 32, 32) float32 in [0, 1] of images (B, C, 3, H, W) in [0, 255]."""
    return functional.adaptive_avg_pool2d(images.flatten(0, 1).float() / 255.0, 32).unflatten(0, images.shape[:2])


def _painter(features: int, pixels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, 256), nn.ReLU(), nn.Linear(256, pixels))


def train_encoder(
    encoder: ImageEncoder,
    frames: FrameSet,
    config: RepresentationConfig,
    progress: Callable[[int, float], None] = lambda update, loss: None,
) -> float:
    """Fit what can be trained of ``encoder`` (in place) to tell actions, futures and pictures; return the last loss."""
    features = encoder.feature_size
    action_head = _mlp(features + frames.proprio.shape[1], frames.actions.shape[1])
    future_head = _mlp(features, frames.futures.shape[1])
    modules = nn.ModuleList([encoder, action_head, future_head])
    redrawing = _Redrawing(features, frames.images) if config.reconstruction_weight else None
    if redrawing is not None:
        modules.append(redrawing)
    trained = [parameter for parameter in modules.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, config.learning_rate, weight_decay=config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, max(config.updates, 2))
    loss = torch.zeros(())
    for update in range(config.updates):
        rows = torch.randint(len(frames.images), (config.batch,))
        images = random_shift(frames.images[rows], config.shift)
        points = encoder(images)
        seen = (torch.rand(config.batch, 1) > config.proprio_dropout).float()
        action = action_head(torch.cat([frames.proprio[rows] * seen, points], -1))
        loss = functional.mse_loss(action, frames.actions[rows])
        loss = loss + config.prediction_weight * functional.mse_loss(future_head(points), frames.futures[rows])
        if redrawing is not None:
            loss = loss + config.reconstruction_weight * redrawing(points, images)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if update % 50 == 0:
            progress(update, float(loss.detach()))
    return float(loss.detach())


def _standardise(values: np.ndarray) -> Tensor:
    deviation = np.maximum(values.std(0), 1e-3)
    return torch.from_numpy(((values - values.mean(0)) / deviation).astype(np.float32))


def _mlp(inputs: int, outputs: int, width: int = 256) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, outputs))
