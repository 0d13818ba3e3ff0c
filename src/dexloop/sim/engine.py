"""MuJoCo as untyped as its bindings: they ship no type stubs, so its values are ``Any``, here and nowhere else."""

from __future__ import annotations

import importlib
import os
from typing import Any

from dexloop.sim.opengl import no_pictures

MjModel = Any
MjData = Any
MjrRect = Any


def _load() -> Any:
    """MuJoCo; raises DexloopError where it cannot be imported for what MUJOCO_GL says."""
    try:
        return importlib.import_module("mujoco")
    except Exception as error:
        if os.environ.get("MUJOCO_GL"):
            raise no_pictures(error) from error
        raise


mujoco: Any = _load()
