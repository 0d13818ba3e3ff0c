"""What image features were on the average: the mean itself, and policies that go by it."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from dexloop.core import Policy
from dexloop.networks.act_storage import load_act, save_act
from dexloop.networks.encoders import EncoderConfig, KeypointEncoder
from dexloop.networks.latent import LatentEncoder
from dexloop.networks.memory import FeatureMemory
from dexloop.networks.storage import agent_to_bytes, load_agent, save_agent
from dexloop.pipeline.prior import architecture_of
from dexloop.presets import PRESETS
from tests.data.samples import HAND_ROBOT, SMALL_ROBOT, observations
from tests.networks.test_act import SMALL as SMALL_ACT
from tests.networks.test_act import agent as chunking_agent
from tests.networks.test_storage import SMALL, agent

REMEMBERING = replace(SMALL, memory=4)


def some(frames: int = 6) -> Tensor:
    return torch.randn(frames, 3, generator=torch.Generator().manual_seed(1))


def test_each_frame_counts_less_by_the_same_share_than_the_next() -> None:
    features = some()
    recalled = FeatureMemory(4).recall(features)
    weights = 0.75 ** torch.arange(5.0, -1.0, -1.0)
    torch.testing.assert_close(recalled[0], features[0])
    torch.testing.assert_close(recalled[-1], (weights[:, None] * features).sum(0) / weights.sum())
    torch.testing.assert_close(FeatureMemory(1).recall(features), features)
    torch.testing.assert_close(FeatureMemory(10**6).recall(features)[-1], features.mean(0), atol=1e-5, rtol=0)


def test_frame_by_frame_is_the_same_as_all_at_once() -> None:
    features, memory = some(), FeatureMemory(4)
    each = torch.cat([memory.recall(frame[None]) for frame in features])
    assert torch.equal(each, FeatureMemory(4).recall(features))


def latent(memory: int) -> LatentEncoder:
    torch.manual_seed(0)
    encoder = KeypointEncoder(("top",), EncoderConfig(keypoints=3, width=4))
    made = LatentEncoder(3, encoder, privileged=False, memory=memory).eval()
    made.fit(list(observations(SMALL_ROBOT, 1, 20)))
    return made


def test_the_mean_follows_what_is_seen_now() -> None:
    seen, forgetful, remembering = list(observations(SMALL_ROBOT, 2, 8)), latent(0), latent(4)
    now, encoded = forgetful.encode(seen), remembering.encode(seen)
    assert (forgetful.size, remembering.size) == (9, 15)
    torch.testing.assert_close(encoded[:, :9], now)
    torch.testing.assert_close(encoded[:, 9:], FeatureMemory(4).recall(now[:, 3:]))
    assert forgetful.remember() is None and forgetful.fingerprint() != remembering.fingerprint()


def test_an_episode_goes_on_from_its_memory() -> None:
    seen, made = list(observations(SMALL_ROBOT, 2, 8)), latent(4)
    memory = made.remember()
    parts = torch.cat([made.encode(seen[:3], memory=memory), made.encode(seen[3:], memory=memory)])
    torch.testing.assert_close(parts, made.encode(seen))
    assert not torch.allclose(made.encode(seen[3:])[:, 9:], made.encode(seen)[3:, 9:])


@pytest.mark.parametrize("observation", ["images", "privileged"])
def test_only_a_policy_that_sees_pictures_remembers(observation: Literal["images", "privileged"]) -> None:
    config = replace(PRESETS["smoke"], observation=observation)
    made = architecture_of(config, SMALL_ROBOT if observation == "images" else HAND_ROBOT)
    assert made.memory == (config.representation.memory if observation == "images" else 0)
    assert config.representation.memory > 0


def acted(policy: Policy, *, reset: bool = True) -> list[list[float]]:
    if reset:
        policy.reset(0)
    return [policy.act(o, False).action.tolist() for o in observations(SMALL_ROBOT, 2, 8)]


def test_a_policy_begins_every_episode_without_a_memory() -> None:
    made = agent(REMEMBERING)
    first = acted(made)
    assert acted(made, reset=False) != first
    assert acted(made) == first
    with torch.no_grad():
        whole = torch.tanh(made.head(made.latent.encode(list(observations(SMALL_ROBOT, 2, 8))))[0])
    np.testing.assert_allclose(first, whole, atol=1e-6)


def test_policies_read_back_remember_as_long(tmp_path: Path) -> None:
    clone, remembering = agent(REMEMBERING), replace(SMALL_ACT, memory=4, parts=(3, 6, 6))
    save_agent(tmp_path / "clone.safetensors", clone, REMEMBERING)
    stored = load_agent(tmp_path / "clone.safetensors")
    assert stored.architecture == REMEMBERING and acted(stored.agent) == acted(clone)
    chunks = chunking_agent(remembering)
    save_act(tmp_path / "act.safetensors", chunks, remembering)
    read = load_act(tmp_path / "act.safetensors")
    assert read.architecture == remembering and acted(read.agent) == acted(chunks)


def test_a_policy_of_before_there_was_a_memory_has_none(tmp_path: Path) -> None:
    whole = agent_to_bytes(agent(), SMALL)
    (length,) = struct.unpack("<Q", whole[:8])
    header = whole[8 : 8 + length].replace(b', \\"memory\\": 0', b"")
    assert len(header) < length
    (tmp_path / "old.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + whole[8 + length :])
    stored = load_agent(tmp_path / "old.safetensors")
    assert stored.architecture == SMALL and acted(stored.agent) == acted(agent())
