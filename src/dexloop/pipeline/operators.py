"""Which operator a configuration names."""

from __future__ import annotations

import importlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dexloop.config import RunConfig
from dexloop.core import Operator, Policy
from dexloop.errors import DexloopError
from dexloop.networks.storage import load_agent
from dexloop.operators.keyboard import KeyboardOperator
from dexloop.operators.policy import PolicyOperator
from dexloop.operators.scripted import ScriptedOperator
from dexloop.pipeline.robots import find_modules_here, sim_config
from dexloop.types import RobotSpec


@contextmanager
def opened_operator(config: RunConfig, spec: RobotSpec) -> Generator[Operator, None, None]:
    """The operator of ``config.operator`` for as long as it is needed; its ``close``, if it has one, comes after.

    scripted (simulated tasks only), keyboard, module:function, or a policy file. Raises DexloopError for anything
    else, and where the operator does not fit the robot.
    """
    operator = _operator(config, spec)
    try:
        yield operator
    finally:
        close = getattr(operator, "close", None)
        if callable(close):
            close()


def _operator(config: RunConfig, spec: RobotSpec) -> Operator:
    name = config.operator
    if name == "keyboard":
        return KeyboardOperator(spec)
    if name.endswith(".safetensors"):
        return PolicyOperator(_stored_policy(Path(name), spec))
    if ":" in name:
        return _imported_operator(name, spec)
    if name != "scripted":
        raise DexloopError(f"--operator {name}: give scripted, keyboard, module:function or a .safetensors file")
    if config.robot != "sim":
        raise DexloopError(
            f"--robot {config.robot} has no scripted operator; give --operator keyboard, module:function, or a "
            "policy's .safetensors file"
        )
    return ScriptedOperator(sim_config(config), config.record.imperfection)


def _stored_policy(path: Path, spec: RobotSpec) -> Policy:
    """The policy at ``path``; raises DexloopError where it was made for another kind of robot."""
    agent, architecture, _ = load_agent(path)
    seen = spec.observation
    state = seen.proprio + (seen.privileged if architecture.privileged else 0)
    lacking = sorted(set(architecture.cameras) - set(seen.cameras))
    if (architecture.action_size, architecture.state_size) != (spec.action.size, state) or lacking:
        raise DexloopError(
            f"--operator {path}: made for {architecture.action_size} actions, {architecture.state_size} numbers and "
            f"cameras {list(architecture.cameras)}; {spec.name} has {spec.action.size}, {state} and "
            f"{list(seen.cameras)}"
        )
    return agent


def _imported_operator(name: str, spec: RobotSpec) -> Operator:
    """What ``module:function`` makes for this robot: an operator, or a policy in an operator's place."""
    module_name, _, function = name.partition(":")
    find_modules_here()
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise DexloopError(f"--operator {name}: cannot import {module_name!r}: {error}") from error
    make = getattr(module, function, None)
    if not callable(make):
        raise DexloopError(f"--operator {name}: {module_name!r} has no function {function!r}")
    made: Any = make(spec)
    if hasattr(made, "poll"):
        return made
    if hasattr(made, "act"):
        return PolicyOperator(made)
    raise DexloopError(
        f"--operator {name} gave a {type(made).__name__}; it must have poll (an operator) or act (a policy)"
    )
