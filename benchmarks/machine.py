"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import torch

_PACKAGES = ("dexloop", "torch", "numpy", "mujoco", "lerobot")


def facts() -> dict[str, object]:
    """Processor, system and rendering of this machine, and how busy it is (None where it cannot be told)."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.platform(),
        "mujoco_gl": os.environ.get("MUJOCO_GL"),
        "torch_threads": torch.get_num_threads(),
        "load_average": load_average(),
    }


def load_average() -> float | None:
    """Processes that wanted a core over the last minute; above the number of cores, times suffer."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def versions() -> dict[str, str]:
    """Of Python and of the packages that the measurement depends on, where they are installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
