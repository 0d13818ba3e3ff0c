"""A policy as one self-describing safetensors file: weights, and in its header how to build it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from torch import nn

from dexloop.data.files import write_file
from dexloop.networks.agent import Agent
from dexloop.networks.chooser import Chooser, PacedClone
from dexloop.networks.critics import EnsembleCritic
from dexloop.networks.encoders import EncoderConfig
from dexloop.networks.latent import LatentEncoder
from dexloop.networks.policies import GaussianPolicy, PolicyEnsemble, PolicyHead
from dexloop.networks.pretrained import build_encoder
from dexloop.networks.tensor_files import check_count, encode_tensors, read_module

_FORMAT = "dexloop-policy-1"


@dataclass(frozen=True, slots=True)
class CriticSize:
    """members, width: of the ensemble of critics. close_up: whether they see the observation magnified as well."""

    members: int
    width: int
    close_up: bool


@dataclass(frozen=True, slots=True)
class Architecture:
    """What it takes to build an agent: sizes, cameras (empty: no images), encoder and policy head.

    A backbone's weights are the policy's own from then on: ``encoder.weights`` is None, and the hub is not asked.
    members: policy heads, whose mean acts. ignored: entries of the latent that they do not see. chooser: critics that
    choose what is done, None for a policy that acts alone. With ``paces``, factors (A,) for each, they are a
    ``PacedClone``'s with this ``caution``; without, a ``Chooser``'s with this ``speedup``, factors (A,) or empty
    (``networks.chooser``). memory: horizon of the memory of image features in control steps, 0 for none
    (``networks.memory``).
    """

    state_size: int
    action_size: int
    privileged: bool
    cameras: tuple[str, ...]
    encoder: EncoderConfig
    width: int = 256
    members: int = 1
    standard_deviation: float = 0.1
    learn_deviation: bool = False
    ignored: tuple[int, ...] = ()
    chooser: CriticSize | None = None
    speedup: tuple[float, ...] = ()
    paces: tuple[tuple[float, ...], ...] = ()
    caution: float = 0.0
    memory: int = 0

    def build(self) -> Agent:
        """An agent with fresh weights."""
        encoder = build_encoder(self.cameras, self.encoder) if self.cameras else None
        latent = LatentEncoder(self.state_size, encoder, privileged=self.privileged, memory=self.memory)
        return Agent(latent.eval(), self.head(latent.size), self._chooser(latent.size))

    def head(self, latent_size: int) -> PolicyHead:
        """A policy head with fresh weights."""
        check_count(self.members, "heads")
        heads = [self._single(latent_size) for _ in range(self.members)]
        return heads[0] if self.members == 1 else PolicyEnsemble(heads)

    def _chooser(self, latent_size: int) -> Chooser | PacedClone | None:
        size = self.chooser
        if size is None:
            return None
        check_count(size.members, "critics")
        check_count(max(len(self.paces), 1), "paces")
        for factors in (self.speedup or (1.0,) * self.action_size, *self.paces):
            if len(factors) != self.action_size:
                raise ValueError(f"{len(factors)} factors for {self.action_size} action dimensions")
        critic = EnsembleCritic(latent_size, self.action_size, size.members, size.width, close_up=size.close_up)
        if self.paces:
            return PacedClone(critic, self.paces, self.caution)
        # The teacher is a clone: a deviation that is learned is the policy's alone.
        teacher = replace(self, learn_deviation=False).head(latent_size)
        return Chooser(teacher, critic, self.speedup)

    def _single(self, latent_size: int) -> GaussianPolicy:
        return GaussianPolicy(
            latent_size,
            self.action_size,
            width=self.width,
            standard_deviation=self.standard_deviation,
            learn_deviation=self.learn_deviation,
            ignored=self.ignored,
        )


def agent_to_bytes(agent: Agent, architecture: Architecture, **facts: int | float | str) -> bytes:
    """The whole policy; ``facts`` (its version, say) go into the header."""
    header = {"format": _FORMAT, "architecture": json.dumps(asdict(architecture)), "facts": json.dumps(facts)}
    return encode_tensors({p + k: v for p, m in _modules(agent) for k, v in m.state_dict().items()}, header)


def save_agent(path: Path, agent: Agent, architecture: Architecture, **facts: int | float | str) -> None:
    """Write the policy file, whole or not at all."""
    write_file(path, agent_to_bytes(agent, architecture, **facts))


class StoredPolicy(NamedTuple):
    """A policy as it was read: ready to act, how it is built, and the facts of its header."""

    agent: Agent
    architecture: Architecture
    facts: dict[str, int | float | str]


def load_agent(path: Path) -> StoredPolicy:
    """Read a policy file; raises DexloopError naming the file when it is missing or is not one."""
    (agent, architecture), header = read_module(
        path, "policy", _FORMAT, _built, lambda built: _modules(built[0]), missing="no such policy; train one first"
    )
    return StoredPolicy(agent, architecture, json.loads(header["facts"]))


def _modules(agent: Agent) -> Iterator[tuple[str, nn.Module]]:
    """What of an agent is stored, with the beginning of its tensors' names."""
    yield "latent.", agent.latent
    yield "head.", agent.head
    if agent.chooser is not None:
        yield "chooser.", agent.chooser


def _built(header: Mapping[str, str]) -> tuple[Agent, Architecture]:
    described = json.loads(header["architecture"])
    described["cameras"] = tuple(described["cameras"])
    described["ignored"] = tuple(described["ignored"])
    described["speedup"] = tuple(float(factor) for factor in described.get("speedup", ()))
    described["paces"] = tuple(tuple(float(factor) for factor in pace) for pace in described.get("paces", ()))
    described["encoder"] = EncoderConfig(**described["encoder"])
    if described.get("chooser") is not None:
        described["chooser"] = CriticSize(**described["chooser"])
    architecture = Architecture(**described)
    return architecture.build(), architecture
