"""``dexloop serve`` as a process of its own, for tests that need a robot behind its controller."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

THIS = (sys.executable, "-m", "dexloop")
Child = subprocess.Popen[str]


@contextlib.contextmanager
def serving(
    *words: str,
    program: Sequence[str | Path] = THIS,
    bind: str = "127.0.0.1:0",
    environment: Mapping[str, str] | None = None,
) -> Generator[tuple[Child, str]]:
    """The process and HOST:PORT where it says that it listens; whatever is left of it at the end is killed.

    program: which dexloop. environment: its variables, None for those of this process.
    """
    command = [*program, "serve", "--bind", bind, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stderr is not None
        try:
            line = child.stderr.readline()
            assert "listening at" in line, line + (child.stderr.read() if child.poll() is not None else "")
            yield child, line.partition("listening at ")[2].partition(";")[0]
        finally:
            child.kill()


def ended(child: Child, number: int = signal.SIGINT) -> str:
    """What it has said since it listens, once it has ended without an error, as a signal asks it to."""
    assert child.stderr is not None and child.poll() is None
    child.send_signal(number)
    code = child.wait(timeout=30)
    said = child.stderr.read()
    assert code == 0, said
    return said
