"""Observations to latents: what goes in, how it is standardised, and what tells two encoders apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dexloop.networks.encoders import EncoderConfig, KeypointEncoder
from dexloop.networks.latent import LatentEncoder, stack_images
from dexloop.types import Observation
from tests.data.samples import HAND_ROBOT, observations


def seen(count: int = 20) -> list[Observation]:
    return list(observations(HAND_ROBOT, 3, count))


def with_images() -> LatentEncoder:
    torch.manual_seed(0)
    encoder = KeypointEncoder(("chest", "head"), EncoderConfig(keypoints=3, width=4))
    return LatentEncoder(25, encoder, privileged=False).eval()


def test_the_state_is_proprioception_with_or_without_the_simulations_truth() -> None:
    observation = seen(1)[0]
    assert observation.privileged is not None
    plain = LatentEncoder(25, None, privileged=False)
    full = LatentEncoder(32, None, privileged=True)
    np.testing.assert_array_equal(plain.raw([observation])[0], observation.proprio)
    np.testing.assert_array_equal(
        full.raw([observation])[0], np.concatenate([observation.proprio, observation.privileged])
    )
    assert (plain.size, full.size) == (25, 32)


def test_image_features_follow_the_state_whatever_the_chunk() -> None:
    latent = with_images()
    given = seen(7)
    raw = latent.raw(given)
    assert raw.shape == (7, latent.size) == (7, 25 + 12)
    assert latent.encoder is not None
    torch.testing.assert_close(raw[:, 25:], latent.encoder(stack_images(given, ("chest", "head"))))
    torch.testing.assert_close(latent.raw(given, chunk=3), raw)


def test_fit_standardises_and_encode_clips() -> None:
    latent = LatentEncoder(25, None, privileged=False)
    given = seen(40)
    latent.fit(given)
    encoded = latent.encode(given)
    torch.testing.assert_close(encoded.mean(0), torch.zeros(25), atol=1e-5, rtol=0)
    torch.testing.assert_close(encoded.std(0), torch.ones(25), atol=1e-4, rtol=0)
    far = Observation(proprio=np.full(25, 1e6, np.float32))
    assert (latent.encode([far]) == 5.0).all()


def test_what_reaches_zero_in_other_episodes_is_not_clipped_there() -> None:
    """Demonstrations of a tenth of the deadline: without more width, all of the rest would look the same."""
    early = [Observation(np.array([t, t], np.float32)) for t in np.linspace(1.0, 0.9, 30)]
    late = [Observation(np.array([t, t], np.float32)) for t in (0.5, 0.1, 0.0)]
    latent = LatentEncoder(2, None, privileged=False)
    latent.fit(early, reach_zero=[1])
    clipped, clock = latent.encode(late).T.tolist()
    assert clipped == [-5.0] * 3
    assert clock == pytest.approx([-2.368, -4.474, -5.0], abs=1e-3)
    latent.fit([*early, *late], reach_zero=[1])
    assert latent.deviation[0] == latent.deviation[1], "nothing changes where the demonstrations come near it"


def test_what_hardly_moves_is_not_blown_up() -> None:
    latent = LatentEncoder(2, None, privileged=False)
    wobble = [Observation(proprio=np.array([1.0 + 1e-4 * (i % 2), float(i)], np.float32)) for i in range(10)]
    latent.fit(wobble)
    encoded = latent.encode(wobble)
    assert encoded[:, 0].abs().max() < 0.01
    assert encoded[:, 1].abs().max() > 1.0


def test_the_fingerprint_tells_encoders_apart() -> None:
    latent, twin = with_images(), with_images()
    assert latent.fingerprint() == twin.fingerprint()
    twin.fit(seen())
    assert latent.fingerprint() != twin.fingerprint()
    before = latent.fingerprint()
    assert latent.encoder is not None
    with torch.no_grad():
        next(latent.encoder.parameters()).add_(1e-6)
    assert latent.fingerprint() != before


def test_images_are_stacked_channels_first_in_the_order_asked_for() -> None:
    given = seen(2)
    stacked = stack_images(given, ("head", "chest"))
    assert stacked.shape == (2, 2, 3, 64, 64) and stacked.dtype == torch.uint8
    np.testing.assert_array_equal(stacked[1, 0].permute(1, 2, 0), given[1].images["head"])
    np.testing.assert_array_equal(stacked[0, 1].permute(1, 2, 0), given[0].images["chest"])
    with pytest.raises(KeyError):
        stack_images(given, ("wrist",))
