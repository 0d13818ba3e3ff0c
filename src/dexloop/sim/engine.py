"""MuJoCo as untyped as its bindings: they ship no type stubs, so its values are ``Any``, here and nowhere else."""

from __future__ import annotations

import importlib
from typing import Any

mujoco: Any = importlib.import_module("mujoco")
MjModel = Any
MjData = Any
