"""``python -m dexloop``: quiet where a pipe is closed; Ctrl-C and a wrong MUJOCO_GL while it still imports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny

COMMAND = [sys.executable, "-m", "dexloop"]


@pytest.fixture
def closed() -> Iterator[int]:
    """The writing end of a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def dexloop(*arguments: str | Path, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE, **variables: str):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=180,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["run", "cup", "--no-such-flag"]])
def test_words_into_a_closed_pipe_end_quietly(arguments: list[str], closed: int) -> None:
    done = dexloop(*arguments, stdout=closed)
    assert done.returncode not in (0, 120) and (done.stderr == "" or "Unrecognized" in done.stderr), done.stderr


def test_a_table_into_a_closed_pipe_ends_quietly(tiny_run: Path, closed: int) -> None:
    done = dexloop("run", "cup", f"--out={tiny_run}", "--resume", stdout=closed)
    assert done.returncode == 1 and "evaluate bc" in done.stderr and "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_progress_into_a_closed_pipe_ends_quietly(tmp_path: Path, closed: int) -> None:
    done = dexloop("record", "cup", f"--out={tmp_path / 'run'}", *tiny.FLAGS, stderr=closed)
    assert done.returncode != 0 and done.stdout == ""


def test_ctrl_c_during_the_imports_is_quiet(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
    done = dexloop("doctor", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_wrong_platform_is_one_line_with_what_would_be_right(tmp_path: Path) -> None:
    done = dexloop("run", "cup", f"--out={tmp_path / 'run'}", MUJOCO_GL="nonsense")
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: MUJOCO_GL=nonsense: there is no such platform; ") and "unset it" in line
    assert not (tmp_path / "run").exists()
