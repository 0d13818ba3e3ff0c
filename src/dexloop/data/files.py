"""Durable files: a file is whole under its own name or it is not there, through kill -9 and power loss."""

from __future__ import annotations

import errno
import fcntl
import os
import time
import weakref
from collections.abc import Mapping
from pathlib import Path

from dexloop.errors import DexloopError

TEMPORARY_SUFFIX = ".tmp"
_RETRY_SECONDS = 0.02
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_file(path: Path, content: bytes) -> None:
    """Replace or make one file atomically; when it returns, the file is on the disk.

    Raises DexloopError where the disk is full or refuses; what stood at ``path`` is then untouched.
    """
    write_together({path: content}, new=False)


def write_together(files: Mapping[Path, bytes], new: bool = True) -> None:
    """Write several files so that the last one appears only when all others are on the disk.

    new: none of them stood before, so that on failure every one of them is removed again. Raises
    DexloopError where the disk is full or refuses.
    """
    temporary = {path: path.with_name(f".{path.name}{TEMPORARY_SUFFIX}") for path in files}
    placed: list[Path] = []
    path = next(iter(files))
    try:
        for path, content in files.items():
            _make_directory(path.parent)
            _write_synced(temporary[path], content)
        *others, commit = files
        for path in others:
            placed.append(path)
            temporary[path].replace(path)
        for directory in dict.fromkeys(path.parent for path in others):
            _sync_directory(directory)
        path = commit
        placed.append(path)
        temporary[path].replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        remove_files([*temporary.values(), *(reversed(placed) if new else ())])
        raise cannot_write(path, error) from error


def remove_files(paths: list[Path]) -> None:
    """Remove what is there, in this order; an error while tidying must not hide the one that caused it."""
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            continue


def cannot_write(path: Path, error: OSError) -> DexloopError:
    """The user's version of an error met while writing ``path``."""
    if error.errno in _DISK_FULL:
        return DexloopError(f"{path}: the disk is full; free some space, what was stored before is intact")
    return DexloopError(f"{path}: cannot be written: {error.strerror or error}")


class WriterLock:
    """The right to write a dataset, held by one process until it is released or the process ends.

    An advisory ``flock`` on ``path``: the operating system gives it back after kill -9.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._release: weakref.finalize[[int], WriterLock] | None = None

    @property
    def held(self) -> bool:
        return self._release is not None

    def acquire(self, patience: float = 0.0) -> bool:
        """Take the lock, waiting up to ``patience`` [s] for whoever has it; True when it is held."""
        deadline = time.monotonic() + patience
        while not self._try() and time.monotonic() < deadline:
            time.sleep(_RETRY_SECONDS)
        return self.held

    def release(self) -> None:
        if self._release is not None:
            self._release()
            self._release = None

    def _try(self) -> bool:
        if self._release is not None:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._release = weakref.finalize(self, os.close, descriptor)
        return True


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _make_directory(directory: Path) -> None:
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    """A rename is on the disk only when its directory is."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
