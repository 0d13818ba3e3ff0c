"""The encoder's training set says what followed each frame, and training on it finds the object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from dexloop.algorithms.representation import FrameSet, RepresentationConfig, gather_frames, train_encoder
from dexloop.networks.encoders import EncoderConfig, KeypointEncoder
from dexloop.types import Episode, Observation
from tests.data.samples import SMALL_ROBOT, make_episode


def numbered(seed: int, steps: int) -> Episode:
    """An episode whose proprioception is (step, seed, 0)."""
    episode = make_episode(SMALL_ROBOT, seed, steps)

    def seen(observation: Observation, step: int) -> Observation:
        return replace(observation, proprio=np.array([step, seed, 0], np.float32))

    return replace(
        episode,
        transitions=tuple(
            replace(t, observation=seen(t.observation, index), next_observation=seen(t.next_observation, index + 1))
            for index, t in enumerate(episode.transitions)
        ),
    )


def test_futures_are_the_motion_that_followed_and_end_with_the_episode() -> None:
    frames = gather_frames([numbered(1, 4), numbered(2, 6)], ("top",), horizons=(1, 3))
    assert frames.images.shape == (10, 1, 3, 16, 24) and frames.images.dtype == torch.uint8
    assert frames.actions.shape == (10, 2)
    ahead = np.array([[1, 3], [1, 3], [1, 2], [1, 1], [1, 3], [1, 3], [1, 3], [1, 3], [1, 2], [1, 1]], np.float64)
    moved = frames.futures.reshape(10, 2, 3)
    assert (moved[:, 0, 0] == moved[0, 0, 0]).all(), "one step ahead is always one step of motion"
    wanted = (ahead[:, 1] - ahead[:, 1].mean()) / ahead[:, 1].std()
    np.testing.assert_allclose(moved[:, 1, 0], wanted, atol=1e-5)
    assert (moved[:, :, 1:] == 0).all(), "nothing else moved"
    now = np.array([0, 1, 2, 3, 0, 1, 2, 3, 4, 5], np.float64)
    np.testing.assert_allclose(frames.proprio[:, 0], (now - now.mean()) / now.std(), atol=1e-5)


def squares(count: int) -> FrameSet:
    """Pictures of a square; its place is where the robot will go, and what it does now."""
    rng = np.random.default_rng(0)
    places = rng.integers(4, 28, (count, 2))
    images = np.full((count, 1, 3, 32, 32), 90, np.uint8)
    for image, (row, column) in zip(images, places, strict=True):
        image[0, 0, row - 3 : row + 3, column - 3 : column + 3] = 250
    where = torch.from_numpy(((places - 16) / 8).astype(np.float32))
    return FrameSet(torch.from_numpy(images), torch.zeros(count, 2), torch.tanh(where), where)


def test_training_finds_what_decides_the_motion() -> None:
    torch.manual_seed(0)
    encoder = KeypointEncoder(("top",), EncoderConfig(keypoints=4, width=8))
    frames = squares(256)
    seen: list[float] = []
    config = RepresentationConfig(updates=150, batch=64, learning_rate=3e-3, shift=0)
    loss = train_encoder(encoder, frames, config, lambda update, loss: seen.append(loss))
    assert len(seen) == 3 and loss < 0.15 * seen[0], (seen, loss)
    with torch.no_grad():
        points = encoder(frames.images)
    points = torch.cat([points, torch.ones(len(points), 1)], -1)
    fitted = points @ torch.linalg.lstsq(points, frames.futures).solution
    explained = 1 - (fitted - frames.futures).square().sum() / frames.futures.square().sum()
    assert explained > 0.9, "the place of the square is a linear map of the image points"
