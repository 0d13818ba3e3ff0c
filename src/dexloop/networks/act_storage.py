"""A chunking policy as one self-describing safetensors file, with the latent encoder that it needs to act."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from torch import nn

from dexloop.data.files import write_file
from dexloop.networks.act import ActNetwork, TransformerConfig
from dexloop.networks.chunks import ChunkingAgent
from dexloop.networks.encoders import EncoderConfig
from dexloop.networks.latent import LatentEncoder
from dexloop.networks.pretrained import build_encoder
from dexloop.networks.tensor_files import check_count, encode_tensors, read_module

_FORMAT = "dexloop-act-1"


@dataclass(frozen=True, slots=True)
class ActArchitecture:
    """What it takes to build a chunking policy: the latent encoder as in ``storage.Architecture``, and its own parts.

    parts, ignored: as of ``ActNetwork``. decay: m of the temporal ensemble. memory: as there.
    """

    state_size: int
    action_size: int
    privileged: bool
    cameras: tuple[str, ...]
    encoder: EncoderConfig
    parts: tuple[int, ...]
    ignored: tuple[int, ...]
    transformer: TransformerConfig
    decay: float
    memory: int = 0

    def build(self, latent: LatentEncoder | None = None) -> ChunkingAgent:
        """A policy with fresh weights, on ``latent`` where there is one already."""
        if latent is None:
            encoder = build_encoder(self.cameras, self.encoder) if self.cameras else None
            latent = LatentEncoder(self.state_size, encoder, privileged=self.privileged, memory=self.memory).eval()
        check_count(max(self.transformer.encoder_layers, self.transformer.decoder_layers), "layers")
        network = ActNetwork(self.parts, self.action_size, self.transformer, ignored=self.ignored)
        return ChunkingAgent(latent, network.eval(), self.decay)


class StoredAct(NamedTuple):
    """A chunking policy as it was read: ready to act, how it is built, and the facts of its header."""

    agent: ChunkingAgent
    architecture: ActArchitecture
    facts: dict[str, int | float | str]


def act_to_bytes(agent: ChunkingAgent, architecture: ActArchitecture, **facts: int | float | str) -> bytes:
    """The whole policy; ``facts`` (how it was trained, say) go into the header."""
    header = {"format": _FORMAT, "architecture": json.dumps(asdict(architecture)), "facts": json.dumps(facts)}
    return encode_tensors({p + k: v for p, m in _modules(agent) for k, v in m.state_dict().items()}, header)


def save_act(path: Path, agent: ChunkingAgent, architecture: ActArchitecture, **facts: int | float | str) -> None:
    """Write the policy file, whole or not at all."""
    write_file(path, act_to_bytes(agent, architecture, **facts))


def load_act(path: Path) -> StoredAct:
    """Read a policy file; raises DexloopError naming the file when it is missing or is not one."""
    (agent, architecture), header = read_module(
        path,
        "ACT policy",
        _FORMAT,
        _built,
        lambda built: _modules(built[0]),
        missing="no such ACT policy; train one first",
    )
    return StoredAct(agent, architecture, json.loads(header["facts"]))


def _built(header: Mapping[str, str]) -> tuple[ChunkingAgent, ActArchitecture]:
    described = json.loads(header["architecture"])
    for name in ("cameras", "parts", "ignored"):
        described[name] = tuple(described[name])
    described["encoder"] = EncoderConfig(**described["encoder"])
    described["transformer"] = TransformerConfig(**described["transformer"])
    architecture = ActArchitecture(**described)
    return architecture.build(), architecture


def _modules(agent: ChunkingAgent) -> Iterator[tuple[str, nn.Module]]:
    yield "latent.", agent.latent
    yield "network.", agent.network
