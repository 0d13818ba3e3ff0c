"""The person beside the robot is waited for, and only for as long as anybody needs to."""

from __future__ import annotations

import os
import sys
import threading
import time
import tty
from collections.abc import Iterator

import pytest

from dexloop import DexloopError
from dexloop.robot.person import Person, ask_to_look


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What a person types on goes in here."""
    master, slave = os.openpty()
    with open(slave, encoding="utf-8") as terminal:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stdin", terminal)
        yield master
    os.close(master)


def nothing() -> None:
    """Somebody still waits."""


def test_waits_for_enter_and_what_was_typed_before_is_no_answer(
    keyboard: int, capsys: pytest.CaptureFixture[str]
) -> None:
    os.write(keyboard, b"\n")
    time.sleep(0.05)
    typing = threading.Timer(0.4, os.write, (keyboard, b"\n"))
    began = time.monotonic()
    typing.start()
    Person("dexloop confirm HERE").ask("put the cup back", nothing)
    assert time.monotonic() - began >= 0.4
    assert "put the cup back, then press Enter or run: dexloop confirm HERE" in capsys.readouterr().err
    typing.join()


@pytest.mark.parametrize("terminal", [True, False])
def test_an_answer_from_elsewhere_is_one_and_only_while_something_is_asked(
    keyboard: int, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    if not terminal:
        monkeypatch.setattr(sys, "stdin", None)
    person = Person("dexloop confirm HERE")
    with pytest.raises(DexloopError, match="nobody is asked"):
        person.confirm()
    answering = threading.Timer(0.3, person.confirm)
    began = time.monotonic()
    answering.start()
    person.ask("put the cup back", nothing)
    assert 0.3 <= time.monotonic() - began < 2.0
    with pytest.raises(DexloopError, match="nobody is asked"):
        person.confirm()


@pytest.mark.parametrize("terminal", [True, False])
def test_the_wait_ends_where_nobody_needs_the_answer(
    keyboard: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    if not terminal:
        monkeypatch.setattr(sys, "stdin", None)
    gone = time.monotonic() + 0.3

    def check() -> None:
        if time.monotonic() > gone:
            raise DexloopError("the client is gone")

    person = Person("dexloop confirm HERE")
    with pytest.raises(DexloopError, match="the client is gone"):
        person.ask("put the cup back", check)
    assert "no answer is needed any more: the client is gone" in capsys.readouterr().err


def test_a_terminal_that_closes_is_said(keyboard: int) -> None:
    read, write = os.pipe()
    os.close(write)
    with os.fdopen(read) as closed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", closed)
        patch.setattr("dexloop.robot.person._has_terminal", lambda: True)
        with pytest.raises(DexloopError, match="the terminal is closed"):
            Person("nowhere").ask("put the cup back", nothing)


@pytest.mark.parametrize("single_keys", [False, True])
def test_who_has_looked_at_a_fault_presses_enter(
    keyboard: int, capsys: pytest.CaptureFixture[str], single_keys: bool
) -> None:
    if single_keys:
        tty.setcbreak(sys.stdin.fileno())
    os.write(keyboard, b"\n")
    time.sleep(0.05)
    typing = [threading.Timer(0.2, os.write, (keyboard, b"x")), threading.Timer(0.4, os.write, (keyboard, b"\n"))]
    began = time.monotonic()
    for timer in typing:
        timer.start()
    look = ask_to_look()
    assert look is not None
    look("finger index presses with 31 N")
    assert time.monotonic() - began >= 0.4
    assert "finger index presses with 31 N" in capsys.readouterr().err
    for timer in typing:
        timer.join()


def test_without_a_terminal_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert ask_to_look() is None, "started with its input closed"
