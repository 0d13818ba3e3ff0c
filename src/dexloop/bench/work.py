"""Many cells, several at a time: each worker takes what nobody else is at, and leaves what is done alone."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import signal
from collections.abc import Generator, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from dexloop.bench.cell import Cell
from dexloop.bench.results import cell_path
from dexloop.bench.running import run_cell
from dexloop.errors import DexloopError
from dexloop.progress import say


def run_cells(cells: Sequence[Cell], runs: Path, results: Path, command: str, jobs: int) -> None:
    """Run every cell whose file is not there yet, ``jobs`` at a time.

    Two that share a base are never run at the same time, in this command or another one: a file's lock says that
    somebody is at it, and ends with its process. Raises DexloopError when some could not be run.
    """
    missing = [cell for cell in cells if not cell_path(results, cell).is_file()]
    if not missing:
        return
    say(f"{len(missing)} of {len(cells)} cells to run, {jobs} at a time; they go on where they were if interrupted")
    if jobs == 1:
        failed = work(missing, runs, results, command)
    else:
        failed = _run_in_processes(missing, runs, results, command, jobs)
    if failed:
        raise DexloopError(f"{failed} cells could not be run, as said above; the same command tries them again")


def _run_in_processes(cells: Sequence[Cell], runs: Path, results: Path, command: str, jobs: int) -> int:
    context = multiprocessing.get_context("spawn")
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = threads
    try:
        workers = [context.Process(target=_worker, args=(cells, runs, results, command)) for _ in range(jobs)]
        for worker in workers:
            worker.start()
    finally:
        os.environ.pop("OMP_NUM_THREADS")
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
    try:
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        # They got it as well, and save what they have.
        for worker in workers:
            worker.join()
        raise
    return sum(abs(worker.exitcode or 0) for worker in workers)


def _worker(cells: Sequence[Cell], runs: Path, results: Path, command: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        failed = work(cells, runs, results, command)
    except KeyboardInterrupt:
        failed = 0
    raise SystemExit(failed)


def work(cells: Iterable[Cell], runs: Path, results: Path, command: str) -> int:
    """Run the cells nobody else is at, one after the other; how many could not be run."""
    failed = 0
    for base, sharing in groupby(cells, key=lambda cell: cell.base):
        with claimed(runs / "bases" / f"{base}.lock") as mine:
            if not mine:
                say(f"cells of {base}: left to another process, which is at them")
            for cell in sharing if mine else ():
                # Another command may have run it since.
                if cell_path(results, cell).is_file():
                    continue
                try:
                    run_cell(cell, runs, results, command)
                except DexloopError as error:
                    say(f"error: cell {cell.name}: {error}")
                    failed += 1
    return failed


@contextlib.contextmanager
def claimed(path: Path) -> Generator[bool]:
    """Whether this process, and no other, may work on what ``path`` stands for; freed at the end, or by its death."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
