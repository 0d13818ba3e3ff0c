"""Rows in memory and rows in a file hold the same numbers; in a file they leave nothing behind."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import numpy as np
import pytest

from dexloop.data.rows import Rows
from dexloop.errors import DexloopError

KIB = 1024


def written(rows: Rows) -> int:
    """Bytes of disk that the file has."""
    return 512 * os.fstat(rows._descriptor).st_blocks


def test_memory_and_file_hold_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    memory, file = Rows((50, 2, 3)), Rows((50, 2, 3), tmp_path)
    for start, count in ((0, 5), (20, 1), (3, 10), (40, 10)):
        values = rng.normal(size=(count, 2, 3)).astype(np.float32)
        for rows in (memory, file):
            rows.write(start, values)
            np.testing.assert_array_equal(rows.array[start : start + count], values)
    np.testing.assert_array_equal(memory.array, file.array)
    assert (memory.array[15:20] == 0).all(), "what was never written is zero"
    backwards = np.arange(12, dtype=np.float32).reshape(2, 2, 3)[::-1]
    file.write(30, backwards)
    np.testing.assert_array_equal(file.array[30:32], backwards)


def test_a_file_costs_what_was_written_and_has_no_name(tmp_path: Path) -> None:
    rows = Rows((100_000, 256), tmp_path)
    assert written(rows) < 100 * KIB
    rows.write(99_000, np.ones((1000, 256), np.float32))
    os.fsync(rows._descriptor)
    assert 1000 * KIB <= written(rows) < 3000 * KIB
    assert list(tmp_path.iterdir()) == [], "nothing to find or to remove after a kill"


def test_a_full_disk_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    rows = Rows((1000, 256), tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # What the system lets a file grow to, where a test cannot fill a disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (100 * KIB, hard))
        rows.write(0, np.ones((100, 256), np.float32))
        with pytest.raises(DexloopError, match="the disk is full"):
            rows.write(90, np.ones((100, 256), np.float32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (rows.array[:90] == 1).all()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DexloopError, match="nowhere"):
        Rows((10, 3), tmp_path / "nowhere")
