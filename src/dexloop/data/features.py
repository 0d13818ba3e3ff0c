"""What networks made of stored episodes, kept so that a resume need not decode and encode their videos again."""

from __future__ import annotations

import io
import shutil
import zlib
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexloop.data.files import write_file
from dexloop.errors import DexloopError
from dexloop.types import Episode


class KeptFeatures:
    """One array an episode, in ``root/recipe/<key>.npz``, written once, whole or not at all.

    It is a cache. What is missing, damaged or of another episode reads as None, what cannot be written is not kept,
    and neither ever stops a run. A zip file's checksums find damage inside a file.
    """

    def __init__(self, root: Path, recipe: str) -> None:
        """recipe: names everything that the arrays depend on but the episode, an encoder's fingerprint say."""
        self.root = root
        self.recipe = recipe

    def read(self, key: str, episode: Episode) -> NDArray[Any] | None:
        """The array kept for ``episode`` under ``key``, None where there is none that can be trusted."""
        try:
            content = io.BytesIO(self._file(key).read_bytes())
            with np.load(content, allow_pickle=False) as stored:
                return stored["kept"] if int(stored["of"]) == _mark(episode) else None
        except Exception:  # whatever is wrong with it, it can be made again
            return None

    def write(self, key: str, episode: Episode, array: NDArray[Any]) -> None:
        """Keep ``array`` for ``episode``; on a full or write-protected disk nothing happens."""
        content = io.BytesIO()
        np.savez(content, kept=array, of=np.uint32(_mark(episode)))
        with suppress(DexloopError):
            write_file(self._file(key), content.getvalue())

    def _file(self, key: str) -> Path:
        return self.root / self.recipe / f"{key}.npz"


def forget_others(root: Path, recipes: Collection[str]) -> None:
    """Remove what was kept under ``root`` by any but these recipes, so that it does not pile up."""
    for folder in root.iterdir() if root.is_dir() else ():
        if folder.name not in recipes:
            shutil.rmtree(folder, ignore_errors=True)


def _mark(episode: Episode) -> int:
    """A checksum of an episode's proprioception and actions, by which one is told from another without its images."""
    mark = len(episode)
    for transition in episode.transitions:
        mark = zlib.crc32(transition.observation.proprio.tobytes(), mark)
        mark = zlib.crc32(transition.executed.tobytes(), mark)
    return zlib.crc32(episode.transitions[-1].next_observation.proprio.tobytes(), mark)
