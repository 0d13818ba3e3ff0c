"""Chunking policies: what they see, what padding may not do, how chunks become actions, and their files."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from dexloop.errors import DexloopError
from dexloop.networks.act import ActNetwork, TransformerConfig, sinusoidal_positions
from dexloop.networks.act_storage import ActArchitecture, act_to_bytes, load_act, save_act
from dexloop.networks.chunks import ChunkingAgent, TemporalEnsemble
from dexloop.networks.encoders import EncoderConfig
from dexloop.networks.storage import load_agent
from tests.data.samples import SMALL_ROBOT, observations
from tests.digests import digest

TINY = TransformerConfig(chunk=5, style=4, width=16, heads=2, feedforward=32, encoder_layers=1, decoder_layers=2)
SMALL = ActArchitecture(
    state_size=3,
    action_size=2,
    privileged=False,
    cameras=("top",),
    encoder=EncoderConfig(keypoints=3, width=4),
    parts=(3, 6),
    ignored=(1,),
    transformer=TINY,
    decay=0.1,
)


def agent(architecture: ActArchitecture = SMALL) -> ChunkingAgent:
    torch.manual_seed(0)
    made = architecture.build()
    made.latent.fit(list(observations(SMALL_ROBOT, 1, 20)))
    made.network.fit_actions(torch.rand(50, 2) - 0.5)
    return made


def network() -> ActNetwork:
    return agent().network


def some(batch: int = 6) -> tuple[Tensor, Tensor]:
    """Latent observations (B, D) and actions (B, k, A)."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 9, generator=generator), torch.randn(batch, TINY.chunk, 2, generator=generator)


def test_shapes_follow_the_configuration() -> None:
    made = network()
    latents, actions = some()
    mean, log_variance = made.infer_style(latents, actions, torch.zeros(6, 5, dtype=torch.bool))
    assert mean.shape == log_variance.shape == (6, 4)
    assert made(latents, mean).shape == (6, 5, 2)
    assert made.chunk(latents).shape == (6, 5, 2)
    assert made.token_positions.shape == (3, 16), "z, proprioception and one camera"
    assert (len(made.encoder.layers), len(made.decoder.layers)) == (1, 2)


def test_every_layer_begins_with_weights_of_its_own() -> None:
    first, second = (layer.linear1.weight for layer in network().decoder.layers)
    assert not torch.equal(first, second)


def test_padded_actions_are_not_read() -> None:
    made = network()
    latents, actions = some()
    padded = torch.arange(5).expand(6, 5) >= torch.arange(1, 7)[:, None]
    other = torch.where(padded[..., None], torch.full_like(actions, 1e3), actions)
    assert not torch.equal(actions, other)
    for one, two in zip(
        made.infer_style(latents, actions, padded), made.infer_style(latents, other, padded), strict=True
    ):
        assert torch.equal(one, two)
    everything = torch.zeros_like(padded)
    read = made.infer_style(latents, actions, everything)[0], made.infer_style(latents, other, everything)[0]
    assert not torch.allclose(*read), "what is not padded is read"


def test_the_order_of_actions_matters_to_their_style() -> None:
    made = network()
    latents, actions = some()
    whole = torch.zeros(6, 5, dtype=torch.bool)
    mean, _ = made.infer_style(latents, actions, whole)
    assert not torch.allclose(mean, made.infer_style(latents, actions.flip(1), whole)[0], atol=1e-4)


def test_positions_are_those_of_the_paper() -> None:
    code = sinusoidal_positions(7, 6)
    for position in (0, 3, 6):
        for pair in range(3):
            angle = position / 10_000 ** (2 * pair / 6)
            assert code[position, 2 * pair] == pytest.approx(math.sin(angle), abs=1e-5)
            assert code[position, 2 * pair + 1] == pytest.approx(math.cos(angle), abs=1e-5)


def test_ignored_entries_do_not_influence_the_actions_and_all_others_do() -> None:
    made = network()
    latents, actions = some()
    whole = torch.zeros(6, 5, dtype=torch.bool)
    before, style = made.chunk(latents), made.infer_style(latents, actions, whole)[0]
    for entry in range(9):
        moved = latents.clone()
        moved[:, entry] += 1.0
        assert torch.equal(made.chunk(moved), before) == (entry == 1)
        unchanged = torch.equal(made.infer_style(moved, actions, whole)[0], style)
        assert unchanged == (entry in (1, 3, 4, 5, 6, 7, 8)), "the style sees proprioception alone"


def test_it_acts_with_the_mean_of_the_prior() -> None:
    made = network()
    latents, _ = some()
    wanted = made(latents, torch.zeros(6, 4)) * made.action_deviation + made.action_mean
    torch.testing.assert_close(made.chunk(latents), wanted.clamp(-1, 1))
    assert not torch.allclose(made(latents, torch.ones(6, 4)), made(latents, torch.zeros(6, 4)), atol=1e-3)


def test_actions_keep_within_their_limits() -> None:
    made = network()
    made.fit_actions(torch.tensor([[-9.0, 5.0], [9.0, 5.0]]))
    chunk = made.chunk(some()[0])
    assert chunk.abs().max() == 1.0 and (chunk[..., 1] == 1.0).all()
    assert made.action_deviation[1] == pytest.approx(0.01), "what never moves is not divided by zero"


def test_the_ensemble_is_the_weighted_mean_of_all_that_was_predicted_for_now() -> None:
    ensemble = TemporalEnsemble(3, decay=0.5)
    chunks = np.arange(30, dtype=np.float32).reshape(5, 3, 2) ** 2
    weights = [1.0, math.exp(-0.5), math.exp(-1.0)]
    wanted = [
        chunks[0][0],
        (weights[0] * chunks[0][1] + weights[1] * chunks[1][0]) / sum(weights[:2]),
        (weights[0] * chunks[0][2] + weights[1] * chunks[1][1] + weights[2] * chunks[2][0]) / sum(weights),
        # The first chunk has ended: the oldest prediction is now the second one's.
        (weights[0] * chunks[1][2] + weights[1] * chunks[2][1] + weights[2] * chunks[3][0]) / sum(weights),
        (weights[0] * chunks[2][2] + weights[1] * chunks[3][1] + weights[2] * chunks[4][0]) / sum(weights),
    ]
    for chunk, expected in zip(chunks, wanted, strict=True):
        combined = ensemble.combine(chunk)
        assert combined.dtype == np.float32
        np.testing.assert_allclose(combined, expected, rtol=1e-6)
    ensemble.clear()
    np.testing.assert_array_equal(ensemble.combine(chunks[4]), chunks[4][0])


def acted(policy: ChunkingAgent, seed: int, explore: bool = False) -> list[list[float]]:
    policy.reset(seed)
    return [policy.act(o, explore).action.tolist() for o in observations(SMALL_ROBOT, 2, 8)]


def test_an_episode_is_a_function_of_its_observations_alone() -> None:
    made = agent()
    first = acted(made, seed=1)
    assert acted(made, seed=1) == first, "a reset must clear what the last episode predicted"
    assert acted(made, seed=2) == first == acted(made, seed=1, explore=True)
    before = [made.act(o, explore=False).action.tolist() for o in observations(SMALL_ROBOT, 2, 8)]
    assert before != first, "without a reset the last episode's chunks count"


def test_the_first_action_is_the_first_of_the_chunk() -> None:
    made = agent()
    observation = next(iter(observations(SMALL_ROBOT, 2, 1)))
    made.reset(0)
    action = made.act(observation, explore=False).action
    assert action.shape == (2,) and action.dtype == np.float32
    with torch.no_grad():
        chunk = made.network.chunk(made.latent.encode([observation]))[0]
    np.testing.assert_allclose(action, chunk[0], rtol=1e-6)


def test_a_policy_read_back_acts_the_same(tmp_path: Path) -> None:
    path = tmp_path / "new" / "policy.safetensors"
    given = agent()
    save_act(path, given, SMALL, updates=42, note="ü")
    stored = load_act(path)
    assert stored.architecture == SMALL
    assert stored.facts == {"updates": 42, "note": "ü"}
    assert acted(stored.agent, 0) == acted(given, 0)
    assert digest(act_to_bytes(stored.agent, stored.architecture, **stored.facts)) == digest(path)


def test_the_header_describes_the_policy_to_other_programs() -> None:
    whole = act_to_bytes(agent(), SMALL, seed=3)
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])["__metadata__"]
    assert header["format"] == "dexloop-act-1"
    described = json.loads(header["architecture"])
    assert described["parts"] == [3, 6] and described["transformer"]["chunk"] == 5 and described["decay"] == 0.1
    assert json.loads(header["facts"]) == {"seed": 3}


def refused(path: Path) -> str:
    with pytest.raises(DexloopError) as caught:
        load_act(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: b"\xff" * 200,
        lambda whole: whole.replace(b"action_size", b"auction_siz"),
        lambda whole: whole.replace(b'action_size\\": 2', b'action_size\\": 3'),
        lambda whole: whole.replace(b'parts\\": [3, 6]', b'parts\\": [2, 7]'),
        lambda whole: whole.replace(b"dexloop-act-1", b"dexloop-act-9"),
        lambda whole: whole.replace(b"network.queries", b"network.querist"),
    ],
    ids=["empty", "half", "byte", "noise", "field", "size", "parts", "version", "tensor"],
)
def test_a_damaged_policy_is_refused_by_name(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "policy.safetensors"
    whole = act_to_bytes(agent(), SMALL)
    broken = damage(whole)
    assert broken != whole, "the damage did nothing"
    path.write_bytes(broken)
    refused(path)


def test_missing_and_foreign_files_are_refused_by_name(tmp_path: Path) -> None:
    assert "no such ACT policy" in refused(tmp_path / "policy.safetensors")
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
    assert "not a dexloop ACT policy" in refused(path)
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path, metadata={"format": "dexloop-act-1"})
    refused(path)
    path.write_bytes(act_to_bytes(agent(), replace(SMALL, transformer=replace(TINY, width=32))))
    refused(path)


def test_a_chunking_policy_is_no_clone(tmp_path: Path) -> None:
    save_act(tmp_path / "policy.safetensors", agent(), SMALL)
    with pytest.raises(DexloopError, match="not a dexloop policy"):
        load_agent(tmp_path / "policy.safetensors")
