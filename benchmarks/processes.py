"""Processes of a measurement: each started at its priority, spoken to through a pipe, and ended with its user."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from priority import Priority

from dexloop.errors import DexloopError

_SPAWN = multiprocessing.get_context("spawn")
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Worker:
    """A process and the line to it."""

    process: BaseProcess
    line: Connection

    def ask(self, question: Any) -> Any:
        """Send a question and wait for its answer."""
        self.line.send(question)
        return self.told()

    def told(self) -> Any:
        """What it says next; raises TimeoutError when that is nothing, EOFError when it has died."""
        if not self.line.poll(_PATIENCE):
            raise TimeoutError(f"{self.process.name} said nothing for {_PATIENCE:g} s")
        return self.line.recv()


@contextmanager
def working(main: Callable[[Connection], None], priority: Priority) -> Generator[Worker]:
    """A process of its own that runs ``main`` at ``priority``; it is killed at the end."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_main, args=(main, theirs, priority), daemon=True)
    process.start()
    # Only the worker may hold this end, so that its death is heard of.
    theirs.close()
    try:
        yield Worker(process, ours)
    finally:
        process.kill()
        process.join()


def check_allowed(priority: Priority) -> None:
    """Raises DexloopError where processes may not be given this priority."""
    with working(_nothing, priority) as worker:
        try:
            worker.told()
        except EOFError:
            wanted = "--fifo" if priority.fifo else f"--nice {priority.nice}"
            raise DexloopError(f"{wanted}: not allowed here; run as root on Linux") from None


def _nothing(line: Connection) -> None:
    line.send("fine")


def _main(main: Callable[[Connection], None], line: Connection, priority: Priority) -> None:
    try:
        priority.take()
    except OSError:
        return  # which closes the line
    main(line)
