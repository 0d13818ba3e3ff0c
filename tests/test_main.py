"""``python -m dexloop``: quiet where a pipe is closed; Ctrl-C and a wrong MUJOCO_GL while it still imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny

COMMAND = [sys.executable, "-m", "dexloop"]
SCRIPT = [str(Path(sys.executable).with_name("dexloop"))]


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
    done = dexloop("--help", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


_TELLS = """
import sys
def tell(event, args):
    if event == "import" and args[0] == "gymnasium":
        print("importing", flush=True)
sys.addaudithook(tell)
"""


def interrupted(command: list[str], folder: Path, seconds: float, *, ignoring: bool = False) -> tuple[int, str, str]:
    """How ``command`` ends with Ctrl-C so many seconds after its first import of weight; and what it says then."""
    (folder / "sitecustomize.py").write_text(_TELLS)
    child = subprocess.Popen(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Only where it is needed: it forks, and libraries of earlier tests have threads that do not bear it.
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignoring else None,
    )
    assert child.stdout is not None and child.stdout.readline() == "importing\n"
    time.sleep(seconds)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=180)
    return child.returncode, out, err


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.05, 0.08, 0.12, 0.16, 0.25])
@pytest.mark.parametrize("start", [SCRIPT, COMMAND], ids=["dexloop", "-m dexloop"])
def test_ctrl_c_is_quiet_from_the_first_import_on(start: list[str], seconds: float, tmp_path: Path) -> None:
    """Before it, Python itself is starting, and what it says is its own."""
    assert interrupted([*start, "doctor"], tmp_path, seconds) == (130, "", "")


def test_a_program_that_imports_dexloop_is_interrupted_as_ever() -> None:
    program = "import dexloop, signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=180)
    assert (done.stdout, done.stderr) == ("True\n", "")


def without(library: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / f"{library}.py").write_text(f"raise ModuleNotFoundError(name='{library}')\n")
    return dexloop(*words, PYTHONPATH=str(folder))


@pytest.mark.parametrize(
    ("library", "words", "said"),
    [
        ("grpc", ["serve"], "error: dexloop serve needs grpc: pip install 'dexloop[robot]'"),
        ("grpc", ["stop", "robot:50051"], "error: dexloop stop needs grpc: pip install 'dexloop[robot]'"),
        (
            "torch",
            ["--help"],
            "error: dexloop --help needs torch: pip install 'dexloop[train]'; serve, stop, rearm, confirm, calibrate "
            "and doctor do without",
        ),
    ],
)
def test_a_command_without_its_libraries_is_one_line_that_names_the_extra(
    library: str, words: list[str], said: str, tmp_path: Path
) -> None:
    done = without(library, tmp_path, *words)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said + "\n")


def test_a_computer_without_torch_has_its_doctor(tmp_path: Path) -> None:
    done = without("torch", tmp_path, "doctor")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "ok   python" in done.stderr and "dexloop[train]" in done.stderr


def test_a_shells_background_job_ignores_ctrl_c(tmp_path: Path) -> None:
    code, out, _ = interrupted([*COMMAND, "--help"], tmp_path, 0.05, ignoring=True)
    assert code == 0 and "usage: dexloop" in out


def test_a_wrong_platform_is_one_line_with_what_would_be_right(tmp_path: Path) -> None:
    done = dexloop("run", "cup", f"--out={tmp_path / 'run'}", MUJOCO_GL="nonsense")
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: MUJOCO_GL=nonsense: there is no such platform; ") and "unset it" in line
    assert not (tmp_path / "run").exists()
