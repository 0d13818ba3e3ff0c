"""A person at a real terminal takes over while the policy learns, and leaves with Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from dexloop.data.dataset import EpisodeDataset
from dexloop.runtime.metrics import read_metrics
from tests import tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_PATIENCE = 400.0


def take_the_terminal() -> None:
    """So that Ctrl-C, typed, is a signal to the command and the learner that it starts."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_person_takes_over_and_leaves(tiny_run: Path) -> None:
    before = len(EpisodeDataset.open(tiny_run / "episodes"))
    tiny.in_processes(tiny_run)
    person, computer = pty.openpty()
    terminal = termios.tcgetattr(computer)
    command = ["train", str(tiny_run), "--resume", "--robot-minutes=60", "--take-over=keyboard"]
    child = subprocess.Popen(
        [sys.executable, "-m", "dexloop", *command],
        cwd=tiny.ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=computer,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=take_the_terminal,
    )
    try:
        assert child.stdout is not None
        said = ""
        while "Enter gives them back" not in said:
            line = child.stdout.readline()
            assert line, said
            said += line
        until = time.monotonic() + _PATIENCE
        driven: list[int] = []
        while not driven:
            for key in b"d", b"n":
                os.write(person, key)
                time.sleep(0.4)
            assert child.poll() is None and time.monotonic() < until
            lines = [r for r in read_metrics(tiny_run / "metrics.jsonl") if r["kind"] == "episode"][before:]
            driven = [r["episode"] for r in lines if r["operator_steps"] > 0]
        assert not termios.tcgetattr(computer)[3] & termios.ICANON
        os.write(person, b"\x03")
        rest, _ = child.communicate(timeout=_PATIENCE)
    finally:
        tiny.end(child)
    assert child.returncode == 130 and "--resume goes on" in rest.splitlines()[-1], rest
    assert termios.tcgetattr(computer) == terminal
    os.close(person)
    os.close(computer)

    episode = EpisodeDataset.open(tiny_run / "episodes").episode(driven[0])
    steps = episode.transitions
    first = next(i for i, t in enumerate(steps) if t.control.any())
    assert all(t.control.all() for t in steps[first:]) and not episode.success
    assert episode.info["verdict"] == "failure"
    # The x axis moves as far as it may, and the fingers stay where the policy had them, or open if it had not begun.
    assert steps[first].executed[0] > 0.9 and steps[first].proposed[0] != steps[first].executed[0]
    if first > 0:
        assert steps[first].executed[6:] == pytest.approx(steps[first - 1].executed[6:], abs=1e-3)
