"""Checkpoints of the learner: safetensors for tensors, JSON for the rest, renamed into place whole."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import safetensors.torch
from torch import Tensor

from dexloop.data.files import write_file

_KEPT = 3


def save_checkpoint(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write ``state`` (nested dictionaries and lists of tensors and numbers) as ``folder/<step>``.

    The newest three are kept, and ``folder/last`` names the newest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    skeleton = _strip(state, "", tensors)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        write_file(temporary / "tensors.safetensors", safetensors.torch.save(tensors))
        write_file(temporary / "state.json", json.dumps(skeleton).encode())
        final = folder / f"{step:09d}"
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    write_file(folder / "last", f"{final.name}\n".encode())
    for old in _steps(folder)[:-_KEPT]:
        shutil.rmtree(old)
    return final


def load_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest readable checkpoint of ``folder`` (None if there is none), and what was wrong with others."""
    troubles: list[str] = []
    for leftover in folder.glob(".writing-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for candidate in reversed(_steps(folder)):
        try:
            skeleton = json.loads((candidate / "state.json").read_text())
            tensors = safetensors.torch.load((candidate / "tensors.safetensors").read_bytes())
            return cast("dict[str, Any]", _fill(skeleton, tensors)), troubles
        except Exception as error:  # whatever is wrong with it, an older one may be sound
            troubles.append(f"checkpoint {candidate} is damaged ({error}) and is left out")
    return None, troubles


def _steps(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name.isdigit())


def _strip(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` with each tensor replaced by a reference into ``tensors``."""
    if isinstance(value, Tensor):
        # A clone, because safetensors refuses tensors that share memory.
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        # Keys may be integers (optimizers number their parameters); JSON would make them strings.
        return {"items": [[k, _strip(v, f"{path}/{k}", tensors)] for k, v in items]}
    if isinstance(value, list | tuple):
        values = cast("list[Any]", value)
        return {"list": [_strip(v, f"{path}/{i}", tensors) for i, v in enumerate(values)]}
    return {"value": value}


def _fill(skeleton: Any, tensors: Mapping[str, Tensor]) -> Any:
    if "tensor" in skeleton:
        return tensors[skeleton["tensor"]]
    if "items" in skeleton:
        return {k: _fill(v, tensors) for k, v in skeleton["items"]}
    if "list" in skeleton:
        return [_fill(v, tensors) for v in skeleton["list"]]
    return skeleton["value"]
