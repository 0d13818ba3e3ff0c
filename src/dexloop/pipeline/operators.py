"""Which operators a configuration names: who demonstrates, who takes over, who judges."""

from __future__ import annotations

import importlib
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from dexloop.config import RunConfig
from dexloop.core import Operator, Policy
from dexloop.errors import DexloopError
from dexloop.networks.storage import load_agent
from dexloop.operators.judge import JudgingOperator
from dexloop.operators.keyboard import KeyboardOperator, Role
from dexloop.operators.patient import PatientOperator
from dexloop.operators.policy import PolicyOperator
from dexloop.operators.scripted import ScriptedOperator
from dexloop.pipeline.robots import GRPC, find_modules_here, sim_config
from dexloop.types import RobotSpec

_NOBODY = "nobody"
_SCRIPTED = "scripted"
_POLICY_FILE = ".safetensors"


@contextmanager
def opened_operator(config: RunConfig, spec: RobotSpec) -> Generator[Operator, None, None]:
    """Who demonstrates, for as long as it is needed; its ``close``, if it has one, comes after.

    ``config.operator``: scripted (simulated tasks only), keyboard, module:function, or a policy file. Raises
    DexloopError for anything else, and where the operator does not fit the robot.
    """
    operator = _operator(config, spec, config.operator, "--operator", "demonstrate")
    try:
        yield operator
    finally:
        _close(operator)


@contextmanager
def opened_take_over(config: RunConfig, spec: RobotSpec) -> Generator[Operator | None, None, None]:
    """Who may take over from the policy while it learns, and is closed after; None for nobody.

    ``config.train.take_over`` as ``opened_operator``'s. A person, and an operator of module:function, take over when
    they see fit; a program that always has an answer lets the policy try first. Where a person's verdicts are the
    reward and nobody takes over, the judge. Raises DexloopError as ``opened_operator`` does.
    """
    if config.train.take_over == _NOBODY:
        with opened_judge(config, spec) if config.reward == "person" else nullcontext() as judge:
            yield judge
        return
    operator = _operator(config, spec, config.train.take_over, "--train.take-over", "take over")
    try:
        if not _never_judges(operator):
            yield operator
        elif config.reward == "person":
            raise _no_judge(config)
        else:
            yield PatientOperator(operator, round(config.train.take_over_after * spec.max_steps))
    finally:
        _close(operator)


@contextmanager
def opened_judge(config: RunConfig, spec: RobotSpec) -> Generator[Operator, None, None]:
    """Who judges trials and touches nothing: whoever may take over, or else demonstrates; closed after.

    Raises DexloopError where that is a program that never judges.
    """
    name, flag = _judge_name(config)
    operator = _operator(config, spec, name, flag, "judge")
    try:
        if _never_judges(operator):
            raise _no_judge(config)
        yield JudgingOperator(operator)
    finally:
        _close(operator)


def with_person_as_judge(config: RunConfig) -> RunConfig:
    """The same with somebody at the keyboard as ``opened_judge`` where its operator is a program that never judges."""
    name, _ = _judge_name(config)
    if name != _SCRIPTED and not name.endswith(_POLICY_FILE):
        return config
    return replace(config, operator="keyboard", train=replace(config.train, take_over=_NOBODY))


def _judge_name(config: RunConfig) -> tuple[str, str]:
    """Who judges, and the flag that names them."""
    taking_over = config.train.take_over
    return (config.operator, "--operator") if taking_over == _NOBODY else (taking_over, "--train.take-over")


def _never_judges(operator: Operator) -> bool:
    return isinstance(operator, ScriptedOperator | PolicyOperator)


def _no_judge(config: RunConfig) -> DexloopError:
    name, flag = _judge_name(config)
    return DexloopError(
        f"{flag} {name} never says whether an episode succeeded, and nobody else does: give {flag} keyboard, or "
        "module:function that makes an operator with verdicts"
    )


def _close(operator: Operator) -> None:
    close = getattr(operator, "close", None)
    if callable(close):
        close()


def _operator(config: RunConfig, spec: RobotSpec, name: str, flag: str, role: Role) -> Operator:
    if name == "keyboard":
        keyboard = KeyboardOperator(spec, role=role, flag=flag)
        # Before anything is recorded, and not at the first episode.
        keyboard.require_terminal()
        return keyboard
    if name.endswith(_POLICY_FILE):
        return PolicyOperator(_stored_policy(Path(name), spec, flag))
    if ":" in name:
        return _imported_operator(name, spec, flag)
    if name != _SCRIPTED:
        raise DexloopError(f"{flag} {name}: give scripted, keyboard, module:function or a .safetensors file")
    served = config.robot.startswith(GRPC) and spec.observation.privileged > 0
    if config.robot != "sim" and not served:
        raise DexloopError(
            f"--robot {config.robot} has no scripted operator; give {flag} keyboard, module:function, or a "
            "policy's .safetensors file"
        )
    return ScriptedOperator(sim_config(config), config.record.imperfection)


def _stored_policy(path: Path, spec: RobotSpec, flag: str) -> Policy:
    """The policy at ``path``; raises DexloopError where it was made for another kind of robot."""
    agent, architecture, _ = load_agent(path)
    seen = spec.observation
    state = seen.proprio + (seen.privileged if architecture.privileged else 0)
    lacking = sorted(set(architecture.cameras) - set(seen.cameras))
    if (architecture.action_size, architecture.state_size) != (spec.action.size, state) or lacking:
        raise DexloopError(
            f"{flag} {path}: made for {architecture.action_size} actions, {architecture.state_size} numbers and "
            f"cameras {list(architecture.cameras)}; {spec.name} has {spec.action.size}, {state} and "
            f"{list(seen.cameras)}"
        )
    return agent


def _imported_operator(name: str, spec: RobotSpec, flag: str) -> Operator:
    """What ``module:function`` makes for this robot: an operator, or a policy in an operator's place."""
    module_name, _, function = name.partition(":")
    find_modules_here()
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise DexloopError(f"{flag} {name}: cannot import {module_name!r}: {error}") from error
    make = getattr(module, function, None)
    if not callable(make):
        raise DexloopError(f"{flag} {name}: {module_name!r} has no function {function!r}")
    made: Any = make(spec)
    if hasattr(made, "poll"):
        return made
    if hasattr(made, "act"):
        return PolicyOperator(made)
    raise DexloopError(f"{flag} {name} gave a {type(made).__name__}; it must have poll (an operator) or act (a policy)")
