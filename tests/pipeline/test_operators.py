"""Who takes over and who judges, by name; and the terminal, which is given back whatever happens."""

from __future__ import annotations

import os
import pty
import sys
import termios
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from dexloop.config import RunConfig, TrainConfig
from dexloop.core import Operator, Policy
from dexloop.errors import DexloopError
from dexloop.operators.judge import JudgingOperator
from dexloop.operators.keyboard import KeyboardOperator
from dexloop.operators.patient import PatientOperator
from dexloop.pipeline.operators import opened_judge, opened_operator, opened_take_over, with_person_as_judge
from dexloop.types import HANDS_OFF, Observation, RobotSpec
from tests.lift import GRASPED, Script, lift

SPEC = lift()[1].spec
SEEN = Observation(np.zeros(3, np.float32))


def make_policy(spec: RobotSpec) -> Policy:
    return GRASPED


def make_operator(spec: RobotSpec) -> Operator:
    return Script()


def config(take_over: str = "nobody", **fields: object) -> RunConfig:
    settings = RunConfig(reward="simulation", train=TrainConfig(take_over=take_over))
    return replace(settings, **fields)  # type: ignore[arg-type]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal on standard input; its other end is not watched."""
    person, computer = pty.openpty()
    with os.fdopen(computer) as standard_input:
        monkeypatch.setattr(sys, "stdin", standard_input)
        yield computer
    os.close(person)


def test_nobody_takes_over_unless_named() -> None:
    with opened_take_over(config(), SPEC) as operator:
        assert operator is None


def test_an_operator_of_ones_own_decides_when() -> None:
    with opened_take_over(config(f"{__name__}:make_operator"), SPEC) as operator:
        assert isinstance(operator, Script)


@pytest.mark.parametrize("name", [f"{__name__}:make_policy", "scripted"])
def test_a_program_waits_for_its_share_of_the_deadline(name: str) -> None:
    settings = replace(config(), train=TrainConfig(take_over=name, take_over_after=0.25))
    with opened_take_over(settings, SPEC) as operator:
        assert isinstance(operator, PatientOperator)
        operator.reset(0)
        assert [operator.poll(SEEN) for _ in range(2)] == [HANDS_OFF] * 2
        if name != "scripted":
            assert operator.poll(SEEN).action is not None
        else:
            with pytest.raises(DexloopError, match="needs the simulation's truth"):
                operator.poll(SEEN)


@pytest.mark.parametrize("error", [KeyboardInterrupt, DexloopError, RuntimeError, SystemExit])
def test_the_terminal_is_given_back_whatever_happens(terminal: int, error: type[BaseException]) -> None:
    before = termios.tcgetattr(terminal)
    for opened in (opened_operator, opened_take_over, opened_judge):
        with pytest.raises(error), opened(config("keyboard", operator="keyboard"), SPEC) as operator:
            assert operator is not None
            operator.reset(0)
            assert not termios.tcgetattr(terminal)[3] & termios.ICANON
            raise error
        assert termios.tcgetattr(terminal) == before


def test_whose_verdicts_are_the_reward_judges_the_training_too(terminal: int) -> None:
    with opened_take_over(config(reward="person", operator="keyboard"), SPEC) as operator:
        assert isinstance(operator, JudgingOperator)
    with opened_take_over(config("keyboard", reward="person", operator="scripted"), SPEC) as operator:
        assert isinstance(operator, KeyboardOperator)


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        (config(reward="person"), "--operator scripted"),
        (config("scripted", reward="person", operator="keyboard"), r"--train\.take-over scripted"),
        (config(f"{__name__}:make_policy", reward="person"), r"--train\.take-over .*make_policy"),
    ],
)
def test_a_program_without_a_word_cannot_judge(settings: RunConfig, flag: str) -> None:
    for opened in (opened_take_over, opened_judge):
        with pytest.raises(DexloopError, match=f"{flag} never says whether"), opened(settings, SPEC):
            pass


@pytest.mark.parametrize("programs", [("nobody", "scripted"), ("nobody", "made.safetensors"), ("scripted", "keyboard")])
def test_a_person_judges_in_the_place_of_a_program(terminal: int, programs: tuple[str, str]) -> None:
    take_over, demonstrator = programs
    with opened_judge(with_person_as_judge(config(take_over, operator=demonstrator)), SPEC) as operator:
        assert isinstance(operator, JudgingOperator)
    own = config(f"{__name__}:make_operator", operator="scripted")
    assert with_person_as_judge(own) is own, "it may have verdicts"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobdy", r"--train\.take-over nobdy: give scripted, keyboard"),
        ("no_such_module:make", r"--train\.take-over .* cannot import"),
        ("none.safetensors", "no such policy"),
    ],
)
def test_mistakes_name_the_flag(name: str, message: str) -> None:
    with pytest.raises(DexloopError, match=message), opened_take_over(config(name), SPEC):
        pass
