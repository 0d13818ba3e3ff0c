"""safetensors files of a module that describe themselves, read and written in one way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from dexloop.errors import DexloopError

Built = TypeVar("Built")
_MOST = 200


def encode_tensors(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> bytes:
    """The content of a file. Equal tensors and headers give equal bytes, which safetensors alone does not."""
    content = safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()}, metadata=dict(header))
    size = int.from_bytes(content[:8], "little")
    ordered = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    # The format wants the tensors to begin at a multiple of eight bytes, and fills up with spaces.
    ordered = ordered.ljust(-(-len(ordered) // 8) * 8)
    return len(ordered).to_bytes(8, "little") + ordered + content[8 + size :]


def read_tensors(path: Path, what: str, missing: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """A file's header and tensors.

    Raises DexloopError naming the file: with ``missing`` where there is none, and as no ``what`` where it is damaged.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
    except FileNotFoundError:
        raise DexloopError(f"{path}: {missing}") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise DexloopError(f"{path} is damaged or no {what}: {error}") from None


def read_module(
    path: Path,
    what: str,
    expected: str,
    build: Callable[[Mapping[str, str]], Built],
    modules: Callable[[Built], Iterable[tuple[str, nn.Module]]],
    *,
    missing: str,
) -> tuple[Built, Mapping[str, str]]:
    """What ``build`` makes of the header, with the file's tensors in it, and the header.

    expected: the header's "format". modules: those of what was built that have tensors, with the beginning of
    their names. Raises DexloopError as ``read_tensors`` does, and where the file is of another format or does not fit.
    """
    header, tensors = read_tensors(path, what, missing)
    if header.get("format") != expected:
        raise DexloopError(f"{path} is not a dexloop {what} (format {header.get('format')!r})")
    try:
        with torch.device("meta"):  # takes no memory, whatever sizes the header makes up
            described = {p + k: v.shape for p, m in modules(build(header)) for k, v in m.state_dict().items()}
        if described != {name: tensor.shape for name, tensor in tensors.items()}:
            raise ValueError("its header describes other tensors than it holds")
        built = build(header)
        for prefix, module in modules(built):
            module.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DexloopError(f"{path} is damaged, or a {what} of another version of dexloop: {reason}") from None
    return built, header


def check_count(count: int, what: str) -> None:
    """Raise ValueError where there would be so many of ``what`` that only to make them takes minutes."""
    if not 1 <= count <= _MOST:
        raise ValueError(f"{count} {what}, where 1 to {_MOST} can be")
