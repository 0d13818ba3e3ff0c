"""Image points say where something is; random shifts move an image and nothing else."""

from __future__ import annotations

import pytest
import torch

from dexloop.networks.encoders import EncoderConfig, KeypointEncoder, SpatialSoftArgmax, random_shift


def test_soft_argmax_gives_the_place_of_a_peak_as_x_then_y() -> None:
    maps = torch.zeros(1, 2, 5, 9)
    maps[0, 0, 0, 8] = 100.0
    maps[0, 1, 3, 4] = 100.0
    points = SpatialSoftArgmax(2)(maps)
    assert points.shape == (1, 4)
    torch.testing.assert_close(points[0], torch.tensor([1.0, 0.0, -1.0, 0.5]))


def test_soft_argmax_of_nothing_is_the_middle_and_of_two_peaks_their_mean() -> None:
    torch.testing.assert_close(SpatialSoftArgmax(1)(torch.zeros(1, 1, 6, 6)), torch.zeros(1, 2))
    maps = torch.zeros(1, 1, 3, 5)
    maps[0, 0, 1, 0] = maps[0, 0, 1, 2] = 100.0
    torch.testing.assert_close(SpatialSoftArgmax(1)(maps), torch.tensor([[-0.5, 0.0]]))


def test_a_point_that_has_nothing_to_look_at_is_somewhere_and_weak() -> None:
    maps = torch.zeros(2, 1, 5, 5)
    maps[0, 0, 2, 4] = 20.0
    found = SpatialSoftArgmax(1).detect(maps)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0, 20.0], [0.0, 0.0, 0.0]]), atol=1e-4, rtol=0)


def test_what_is_detected_is_each_cameras_features_and_their_strengths() -> None:
    torch.manual_seed(0)
    encoder = KeypointEncoder(("chest", "head"), EncoderConfig(keypoints=4, width=8))
    images = torch.randint(0, 256, (3, 2, 3, 24, 32), dtype=torch.uint8)
    found = encoder.detect(images)
    assert found.shape == (3, encoder.detection_size) == (3, 24)
    torch.testing.assert_close(found.view(3, 2, 12)[:, :, :8].flatten(1), encoder(images))
    other = images.clone()
    other[:, 0] = 255 - other[:, 0]
    changed = encoder.detect(other)
    assert torch.equal(changed[:, 12:], found[:, 12:])
    assert (changed[:, 8:12] - found[:, 8:12]).abs().min() > 0


def test_features_are_one_network_a_camera() -> None:
    torch.manual_seed(0)
    encoder = KeypointEncoder(("chest", "head"), EncoderConfig(keypoints=4, width=8))
    images = torch.randint(0, 256, (3, 2, 3, 24, 32), dtype=torch.uint8)
    features = encoder(images)
    assert features.shape == (3, encoder.feature_size) == (3, 16)
    assert features.abs().max() <= 1
    other = images.clone()
    other[:, 1] = 255 - other[:, 1]
    changed = encoder(other)
    assert torch.equal(changed[:, :8], features[:, :8])
    assert not torch.allclose(changed[:, 8:], features[:, 8:])


def test_bytes_and_floats_of_the_same_image_give_the_same_features() -> None:
    torch.manual_seed(0)
    encoder = KeypointEncoder(("top",), EncoderConfig(keypoints=4, width=8))
    images = torch.randint(0, 256, (2, 1, 3, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(encoder(images), encoder(images.float()))


def coordinates(batch: int, cameras: int, size: int) -> torch.Tensor:
    """Images whose channels say which row, column and sample a pixel is of."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    images = torch.stack([rows, columns, torch.zeros_like(rows)]).repeat(batch, cameras, 1, 1, 1)
    images[:, :, 2] = torch.arange(batch * cameras).view(batch, cameras, 1, 1)
    return images.to(torch.uint8)


@pytest.mark.parametrize("pixels", [1, 3])
def test_a_shift_keeps_the_content_and_moves_it_by_at_most_its_pixels(pixels: int) -> None:
    torch.manual_seed(0)
    size = 12
    images = coordinates(64, 2, size)
    shifted = random_shift(images, pixels)
    assert shifted.shape == images.shape
    moves: set[tuple[int, int]] = set()
    for sample, moved in zip(images.flatten(0, 1), shifted.flatten(0, 1), strict=True):
        assert (moved[2] == sample[2, 0, 0]).all(), "pixels of another image"
        middle = size // 2
        down, right = int(moved[0, middle, middle]) - middle, int(moved[1, middle, middle]) - middle
        assert abs(down) <= pixels and abs(right) <= pixels
        wanted_rows = (torch.arange(size) + down).clamp(0, size - 1)
        wanted_columns = (torch.arange(size) + right).clamp(0, size - 1)
        assert (moved[0] == wanted_rows[:, None]).all() and (moved[1] == wanted_columns).all()
        moves.add((down, right))
    assert {d for d, _ in moves} == {r for _, r in moves} == set(range(-pixels, pixels + 1))


def test_a_shift_by_nothing_is_the_image_itself() -> None:
    images = coordinates(2, 1, 6)
    assert torch.equal(random_shift(images, 0), images.float())
