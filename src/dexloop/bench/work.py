"""Run many cells, several at a time: each worker takes cells that are not done and that no other process works on."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import signal
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from dexloop.bench.cell import Cell
from dexloop.bench.results import cell_path
from dexloop.bench.running import run_cell
from dexloop.errors import DexloopError
from dexloop.progress import say


def run_cells(cells: Sequence[Cell], runs: Path, results: Path, command: str, jobs: int) -> None:
    """Run every cell whose file is not there yet, ``jobs`` at a time.

    Cells that share a base are run by one process, one after the other; others, also of other commands, pass them over
    until it ends. Raises DexloopError when some could not be run, and when a worker died.
    """
    missing = [cell for cell in cells if not cell_path(results, cell).is_file()]
    if not missing:
        return
    say(f"{len(missing)} of {len(cells)} cells to run, {jobs} at a time; they go on where they were if interrupted")
    if jobs == 1:
        failed, trouble = len(list(failing(missing, runs, results, command))), []
    else:
        failed, trouble = _run_in_processes(missing, runs, results, command, jobs)
    if failed:
        trouble.insert(0, f"{failed} of {len(missing)} cells could not be run, as said above")
    if trouble:
        raise DexloopError(f"{'; '.join(trouble)}; the same command tries again what is not done")


def _run_in_processes(
    cells: Sequence[Cell], runs: Path, results: Path, command: str, jobs: int
) -> tuple[int, list[str]]:
    """How many cells could not be run, and what became of workers that did not get to the end."""
    context = multiprocessing.get_context("spawn")
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = threads
    # A flag for each cell: several workers may try the same one, and what a worker has noted must outlive it.
    failed = context.RawArray("b", len(cells))
    try:
        workers = [context.Process(target=_worker, args=(cells, runs, results, command, failed)) for _ in range(jobs)]
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
    return sum(failed), sorted({_end(worker.exitcode) for worker in workers if worker.exitcode})


def _end(exitcode: int) -> str:
    """How a worker died; out of memory the system kills with signal 9."""
    if exitcode > 0:
        return f"a worker stopped with exit code {exitcode}"
    return f"a worker was killed by signal {-exitcode}" + (" (was there too little memory?)" if exitcode == -9 else "")


def _worker(cells: Sequence[Cell], runs: Path, results: Path, command: str, failed: Any) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        for cell in failing(cells, runs, results, command):
            failed[cells.index(cell)] = 1


def failing(cells: Iterable[Cell], runs: Path, results: Path, command: str) -> Iterator[Cell]:
    """Run the cells that no other process works on, one after the other, and yield those that could not be run."""
    for base, sharing in groupby(cells, key=lambda cell: cell.base):
        with claimed(runs / "bases" / f"{base}.lock") as mine:
            if not mine:
                say(f"cells of {base}: another process works on them, so that they are passed over here")
            for cell in sharing if mine else ():
                # Another command may have run it since.
                if cell_path(results, cell).is_file():
                    continue
                try:
                    run_cell(cell, runs, results, command)
                except DexloopError as error:
                    say(f"error: cell {cell.name}: {error}")
                    yield cell


@contextlib.contextmanager
def claimed(path: Path) -> Generator[bool]:
    """Lock the file ``path``, until the block or the process ends; gives False where another process holds the lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
