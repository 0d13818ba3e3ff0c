"""One tiny run for all tests that need a finished one, each with a copy of its own; and commands that must fail."""

from __future__ import annotations

import gc
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from dexloop.cli import main
from tests import tiny

# A shell's background jobs inherit that Ctrl-C is ignored, and so would the processes that tests send it to.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def short_pauses() -> None:
    """Looking through all that a thousand tests have left alive takes the garbage collector half a second, in which no
    thread runs and no simulated device answers. It is kept to what is new in each file.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to be read only."""
    out = tmp_path_factory.mktemp("finished") / "run"
    assert main(["run", "cup", f"--out={out}", *tiny.FLAGS, "--train.runtime=synchronous"]) == 0
    return out


@pytest.fixture
def tiny_run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be spoiled."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


@pytest.fixture
def failing(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail, and gives its one line of error."""

    def run(*arguments: str | Path) -> str:
        capfd.readouterr()
        assert main([str(a) for a in arguments]) == 1
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and err.rstrip().endswith(lines[0]), err
        return lines[0]

    return run
