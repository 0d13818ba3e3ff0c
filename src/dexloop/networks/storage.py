"""A policy as one self-describing safetensors file: weights, and in its header how to build it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor

from dexloop.data.files import write_file
from dexloop.errors import DexloopError
from dexloop.networks.agent import Agent
from dexloop.networks.encoders import EncoderConfig, KeypointEncoder
from dexloop.networks.latent import LatentEncoder
from dexloop.networks.policies import GaussianPolicy

_FORMAT = "dexloop-policy-1"


@dataclass(frozen=True, slots=True)
class Architecture:
    """What it takes to build an agent: sizes, cameras (empty: no images), encoder and policy head.

    ignored: entries of the latent that the policy head does not see.
    """

    state_size: int
    action_size: int
    privileged: bool
    cameras: tuple[str, ...]
    encoder: EncoderConfig
    width: int = 256
    standard_deviation: float = 0.1
    learn_deviation: bool = False
    ignored: tuple[int, ...] = ()

    def build(self) -> Agent:
        """An agent with fresh weights."""
        encoder = KeypointEncoder(self.cameras, self.encoder) if self.cameras else None
        latent = LatentEncoder(self.state_size, encoder, privileged=self.privileged)
        return Agent(latent.eval(), self.head(latent.size))

    def head(self, latent_size: int) -> GaussianPolicy:
        """A policy head with fresh weights."""
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
    return _ordered(safetensors.torch.save(_tensors(agent), metadata=header))


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
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise DexloopError(f"{path}: no such policy; train one first") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise DexloopError(f"{path} is damaged or no policy file: {error}") from None
    if metadata.get("format") != _FORMAT:
        raise DexloopError(f"{path} is not a dexloop policy (format {metadata.get('format')!r})")
    try:
        described = json.loads(metadata["architecture"])
        described["cameras"] = tuple(described["cameras"])
        described["ignored"] = tuple(described["ignored"])
        described["encoder"] = EncoderConfig(**described["encoder"])
        architecture = Architecture(**described)
        agent = architecture.build()
        load_tensors(agent, tensors)
        return StoredPolicy(agent, architecture, json.loads(metadata["facts"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DexloopError(f"{path} is damaged, or a policy of another version of dexloop: {reason}") from None


def load_tensors(agent: Agent, tensors: dict[str, Tensor]) -> None:
    """Put stored weights into an agent of the same architecture."""
    for prefix, module in (("latent.", agent.latent), ("head.", agent.head)):
        module.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})


def _ordered(content: bytes) -> bytes:
    """The same file with a sorted header: safetensors orders it at random, and equal policies are equal bytes."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    # The format wants the tensors to begin at a multiple of eight bytes, and fills up with spaces.
    header = header.ljust(-(-len(header) // 8) * 8)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def _tensors(agent: Agent) -> dict[str, Tensor]:
    modules = {"latent.": agent.latent, "head.": agent.head}
    return {p + k: v.contiguous() for p, m in modules.items() for k, v in m.state_dict().items()}
