"""Policy files: what is read back acts the same; anything else is refused by name."""

from __future__ import annotations

import json
import resource
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from dexloop.errors import DexloopError
from dexloop.networks.agent import Agent
from dexloop.networks.encoders import EncoderConfig
from dexloop.networks.storage import Architecture, CriticSize, agent_to_bytes, load_agent, save_agent
from tests.data.samples import SMALL_ROBOT, observations
from tests.digests import digest

SMALL = Architecture(
    state_size=3,
    action_size=2,
    privileged=False,
    cameras=("top",),
    encoder=EncoderConfig(keypoints=3, width=4),
    width=16,
    standard_deviation=0.3,
    learn_deviation=True,
    ignored=(1,),
)


def agent(architecture: Architecture = SMALL) -> Agent:
    torch.manual_seed(0)
    made = architecture.build()
    made.latent.fit(list(observations(SMALL_ROBOT, 1, 20)))
    return made


@pytest.mark.parametrize("members", [1, 3])
def test_a_policy_read_back_acts_the_same(tmp_path: Path, members: int) -> None:
    path = tmp_path / "new" / "policy.safetensors"
    architecture = replace(SMALL, members=members)
    given = agent(architecture)
    save_agent(path, given, architecture, version=42, note="ü")
    stored = load_agent(path)
    assert stored.architecture == architecture and len(stored.agent.head.heads) == members
    assert stored.facts == {"version": 42, "note": "ü"}
    for observation in observations(SMALL_ROBOT, 2, 5):
        for explore in (False, True):
            given.reset(7)
            stored.agent.reset(7)
            mine, theirs = given.act(observation, explore), stored.agent.act(observation, explore)
            np.testing.assert_array_equal(mine.action, theirs.action)
            assert mine.action.shape == (2,) and mine.action.dtype == np.float32
            assert np.abs(mine.action).max() < 1
    assert digest(agent_to_bytes(stored.agent, stored.architecture, **stored.facts)) == digest(path)


def test_equal_policies_are_equal_bytes() -> None:
    """safetensors writes its header in random order."""
    assert len({agent_to_bytes(agent(), SMALL, version=1, note="x") for _ in range(10)}) == 1


def test_exploration_is_a_function_of_the_episodes_seed() -> None:
    made = agent()
    observation = next(iter(observations(SMALL_ROBOT, 2, 1)))

    def drawn(seed: int) -> list[float]:
        made.reset(seed)
        return [float(made.act(observation, explore=True).action[0]) for _ in range(3)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert len(set(drawn(1))) == 3


def refused(path: Path) -> str:
    with pytest.raises(DexloopError) as caught:
        load_agent(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_a_missing_policy_is_refused_by_name(tmp_path: Path) -> None:
    assert "no such policy" in refused(tmp_path / "policy.safetensors")


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:20],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: b"\xff" * 200,
        lambda whole: b'{"a": 1}',
        lambda whole: whole.replace(b"state_size", b"stage_size"),
        lambda whole: whole.replace(b'state_size\\": 3', b'state_size\\": 4'),
        lambda whole: whole.replace(b'state_size\\": 3', b'state_size\\": {'),
        lambda whole: whole.replace(b"dexloop-policy-1", b"dexloop-policy-9"),
        lambda whole: whole.replace(b"head.mean_layer.bias", b"head.mean_layer.boas"),
    ],
    ids=["empty", "header", "half", "byte", "noise", "json", "field", "size", "syntax", "version", "tensor"],
)
def test_a_damaged_policy_is_refused_by_name(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "policy.safetensors"
    whole = agent_to_bytes(agent(), SMALL, version=1)
    broken = damage(whole)  # type: ignore[operator]
    assert broken != whole, "the damage did nothing"
    path.write_bytes(broken)
    refused(path)


def test_files_of_other_programs_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
    assert "not a dexloop policy" in refused(path)
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path, metadata={"format": "dexloop-policy-1"})
    refused(path)
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder")


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    path.write_bytes(agent_to_bytes(agent(), replace(SMALL, width=32)))
    refused(path)


@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        ({"width": 20_000}, "describes other tensors"),
        ({"state_size": 10_000_000}, "describes other tensors"),
        ({"members": 10**9}, "1000000000 heads, where 1 to 200 can be"),
        ({"members": 0}, "0 heads"),
        ({"memory": -1}, "a memory of -1 frames"),
        ({"chooser": CriticSize(10**9, 16, close_up=False)}, "1000000000 critics"),
        ({"chooser": CriticSize(2, 20_000, close_up=False)}, "describes other tensors"),
        ({"chooser": CriticSize(2, 16, close_up=False), "paces": ((1.0, 1.0),) * 1_000}, "1000 paces"),
    ],
)
def test_a_header_that_makes_up_sizes_takes_no_memory_for_them(
    tmp_path: Path, forged: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "policy.safetensors"
    path.write_bytes(agent_to_bytes(agent(), replace(SMALL, **forged)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert reason in refused(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


def test_the_header_describes_the_policy_to_other_programs(tmp_path: Path) -> None:
    whole = agent_to_bytes(agent(), SMALL, version=3)
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])["__metadata__"]
    assert header["format"] == "dexloop-policy-1"
    assert json.loads(header["architecture"])["cameras"] == ["top"]
    assert json.loads(header["facts"]) == {"version": 3}
