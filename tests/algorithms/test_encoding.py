"""Kept latents are the encoder's to the last bit, and spare looking at images; shifted crops are reproducible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dexloop.algorithms.encoding import EpisodeEncoder
from dexloop.algorithms.samples import observations_of
from dexloop.data.features import KeptFeatures
from dexloop.data.late import LateImages
from dexloop.networks.encoders import EncoderConfig, KeypointEncoder
from dexloop.networks.latent import LatentEncoder
from dexloop.types import Episode, ImageArray
from tests.data.samples import SMALL_ROBOT, make_episode


@pytest.fixture
def latent() -> Iterator[LatentEncoder]:
    torch.manual_seed(0)
    encoder = KeypointEncoder(("top",), EncoderConfig(keypoints=4, width=8))
    made = LatentEncoder(3, encoder, privileged=False).eval().requires_grad_(False)
    made.fit(observations_of(make_episode(SMALL_ROBOT, 9)))
    yield made


def without_images(episode: Episode) -> Episode:
    """The episode, whose images nobody may look at."""

    def refuse() -> dict[str, ImageArray]:
        raise AssertionError("an image was looked at")

    blind = LateImages(("top",), refuse, 0)
    steps = tuple(
        replace(
            t,
            observation=replace(t.observation, images=blind),
            next_observation=replace(t.next_observation, images=blind),
        )
        for t in episode.transitions
    )
    return replace(episode, transitions=steps)


def keeping(latent: LatentEncoder, root: Path, crops: int = 1) -> EpisodeEncoder:
    recipe = EpisodeEncoder.recipe(latent, crops=crops, shift=2)
    return EpisodeEncoder(latent, crops=crops, shift=2, kept=KeptFeatures(root, recipe))


@pytest.mark.parametrize("crops", [1, 3])
def test_kept_latents_are_the_encoders_to_the_last_bit(latent: LatentEncoder, tmp_path: Path, crops: int) -> None:
    episode = make_episode(SMALL_ROBOT, 1)
    anew = EpisodeEncoder(latent, crops=crops, shift=2)("demos/1", episode)
    assert anew.shape == (9, crops, latent.size)
    assert torch.equal(anew[:, 0], latent.encode(observations_of(episode))), "the first crop is the picture as it is"
    assert torch.equal(keeping(latent, tmp_path, crops)("demos/1", episode), anew)
    assert torch.equal(keeping(latent, tmp_path, crops)("demos/1", without_images(episode)), anew)


def test_without_anything_kept_the_images_are_needed(latent: LatentEncoder, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="looked at"):
        keeping(latent, tmp_path)("demos/1", without_images(make_episode(SMALL_ROBOT, 1)))


def test_another_encoder_encodes_anew(latent: LatentEncoder, tmp_path: Path) -> None:
    episode = make_episode(SMALL_ROBOT, 1)
    before = keeping(latent, tmp_path)("demos/1", episode)
    latent.mean.add_(0.5)
    after = keeping(latent, tmp_path)("demos/1", episode)
    assert not torch.equal(after, before)
    assert torch.equal(after, EpisodeEncoder(latent)("demos/1", episode))


def test_a_damaged_file_is_encoded_and_kept_again(latent: LatentEncoder, tmp_path: Path) -> None:
    episode = make_episode(SMALL_ROBOT, 1)
    wanted = keeping(latent, tmp_path)("demos/1", episode)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:-40])
    assert torch.equal(keeping(latent, tmp_path)("demos/1", episode), wanted)
    assert torch.equal(keeping(latent, tmp_path)("demos/1", without_images(episode)), wanted)


def test_shifts_follow_from_the_key_and_leave_other_random_numbers_alone(latent: LatentEncoder) -> None:
    encoder = EpisodeEncoder(latent, crops=3, shift=2)
    one, two = make_episode(SMALL_ROBOT, 1), make_episode(SMALL_ROBOT, 2)
    before = torch.get_rng_state()
    first = encoder("demos/1", one)
    assert torch.equal(torch.get_rng_state(), before)
    encoder("demos/2", two)
    assert torch.equal(encoder("demos/1", one), first), "whatever came between"
    images = first[:, :, 3:]
    assert not torch.equal(images[:, 1], images[:, 0]) and not torch.equal(images[:, 2], images[:, 1])
    assert torch.equal(first[:, 1, :3], first[:, 0, :3]), "the state has no crops"
    assert not torch.equal(encoder("demos/3", one)[:, 1], first[:, 1])


def test_recipes_tell_apart_what_gives_other_latents(latent: LatentEncoder) -> None:
    recipes = [EpisodeEncoder.recipe(latent, crops=c, shift=s) for c, s in ((1, 3), (2, 3), (3, 3), (3, 2))]
    assert len(set(recipes)) == 4
    assert EpisodeEncoder.recipe(latent, crops=1, shift=0) == recipes[0], "one crop is not shifted"
    encoder = KeypointEncoder(("side",), EncoderConfig(keypoints=4, width=8))
    other = LatentEncoder(3, encoder, privileged=False)
    other.load_state_dict(latent.state_dict())
    assert EpisodeEncoder.recipe(other, crops=1, shift=0) != recipes[0], "the same weights for another camera"
