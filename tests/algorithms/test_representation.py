"""What the encoder's training makes its features tell."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dexloop.algorithms.representation import FrameSet, RepresentationConfig, train_encoder
from dexloop.errors import DexloopError
from dexloop.networks.encoders import EncoderConfig, KeypointEncoder


def spots(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures (N, 1, 3, 32, 32) of a red spot on grey, and its place (N, 2) [pixels]."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(4, 24, (count, 2), generator=generator)
    images = torch.full((count, 1, 3, 32, 32), 120, dtype=torch.uint8)
    for image, (row, column) in zip(images, places.tolist(), strict=True):
        image[0, 0, row : row + 4, column : column + 4] = 230
        image[0, 1:, row : row + 4, column : column + 4] = 20
    return images, places.float()


def error_of_place(weight: float) -> float:
    """Root mean square [pixels] of the spot's place, read linearly from features of new pictures.

    No action has to do with the spot, so that nothing but the pictures themselves can teach where it is.
    """
    torch.manual_seed(0)
    images, places = spots(256, 0)
    encoder = KeypointEncoder(("top",), EncoderConfig(keypoints=4, width=8))
    frames = FrameSet(images, torch.zeros(256, 1), torch.zeros(256, 1), torch.zeros(256, 1))
    config = RepresentationConfig(updates=250, batch=64, learning_rate=5e-3, shift=1, reconstruction_weight=weight)
    train_encoder(encoder, frames, config)
    new, where = spots(128, 1)
    with torch.no_grad():
        known, asked = (torch.cat([encoder(x), torch.ones(len(x), 1)], 1) for x in (images, new))
    read = torch.linalg.lstsq(known, places).solution
    return float((asked @ read - where).square().mean().sqrt())


def test_drawing_pictures_anew_teaches_where_things_are() -> None:
    with_it, without = error_of_place(1.0), error_of_place(0.0)
    assert with_it < 1.2
    assert without > 1.5 * with_it


def test_a_picture_that_never_changes_is_no_reason_to_fail() -> None:
    images = torch.full((8, 1, 3, 32, 32), 77, dtype=torch.uint8)
    encoder = KeypointEncoder(("top",), EncoderConfig(keypoints=2, width=4))
    frames = FrameSet(images, torch.zeros(8, 1), torch.zeros(8, 1), torch.zeros(8, 1))
    loss = train_encoder(encoder, frames, RepresentationConfig(updates=3, batch=4, shift=1))
    assert 0.0 <= loss < 10.0


def test_settings_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(DexloopError, match="reconstruction-weight"):
        RepresentationConfig(reconstruction_weight=-1.0)
