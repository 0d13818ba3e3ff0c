"""The person beside the robot is waited for, and only for as long as anybody needs to."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
import tty
from collections.abc import Iterator

import pytest

from dexloop import DexloopError
from dexloop.robot.person import ask, ask_to_look


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What a person types on goes in here."""
    master, slave = os.openpty()
    with open(slave, encoding="utf-8") as terminal:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stdin", terminal)
        yield master
    os.close(master)


def test_waits_for_enter_and_what_was_typed_before_is_no_answer(keyboard: int) -> None:
    confirm = ask(threading.Event())
    os.write(keyboard, b"\n")
    time.sleep(0.05)
    typing = threading.Timer(0.4, os.write, (keyboard, b"\n"))
    began = time.monotonic()
    typing.start()
    confirm()
    assert time.monotonic() - began >= 0.4
    typing.join()


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


def test_the_wait_ends_with_the_controller(keyboard: int) -> None:
    ended = threading.Event()
    threading.Timer(0.2, ended.set).start()
    with pytest.raises(DexloopError, match="the controller ends"):
        ask(ended)()


def test_without_a_terminal_there_is_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(DexloopError, match="there is no terminal here"):
        ask(threading.Event())
    assert ask_to_look() is None
    monkeypatch.setattr(sys, "stdin", None)
    assert ask_to_look() is None, "started with its input closed"
