"""Rows of numbers that may be more than memory should hold."""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from pathlib import Path

import numpy as np

from dexloop.data.files import cannot_write
from dexloop.types import FloatArray


class Rows:
    """float32 ``array`` of a fixed shape (rows, ...), read as an array and written by ``write``.

    In memory, or mapped to a file without a name in ``folder``: the operating system then keeps in memory what there
    is room for and what is read often. The file is gone when its process is, however that ends. Rows that
    were never written cost nothing, neither memory nor disk.
    """

    def __init__(self, shape: tuple[int, ...], folder: Path | None = None) -> None:
        """Raises DexloopError where there can be no such file in ``folder``."""
        self._folder = folder
        self._descriptor = -1
        if folder is None:
            self.array: FloatArray = np.zeros(shape, np.float32)
            return
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.truncate(4 * math.prod(shape))
                self.array = np.memmap(file, np.float32, "r+", shape=shape)
                self._descriptor = os.dup(file.fileno())
        except OSError as error:
            raise cannot_write(folder, error) from error
        weakref.finalize(self, os.close, self._descriptor)

    def write(self, start: int, rows: FloatArray) -> None:
        """Set the rows from ``start`` on; raises DexloopError where the disk is full."""
        if self._folder is None:
            self.array[start : start + len(rows)] = rows
            return
        content = memoryview(rows.astype(np.float32, copy=False).tobytes())
        offset = start * self.array.strides[0]
        # Not through the mapping: a full disk would kill the process there, where here it is an error.
        while content:
            try:
                written = os.pwrite(self._descriptor, content, offset)
            except OSError as error:
                raise cannot_write(self._folder, error) from error
            content, offset = content[written:], offset + written
