"""A person's word on recorded episodes: from which frame on is the task done?

A real robot has no simulation state to ask; ``dexloop.rewards.label_server`` asks a person.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dexloop.data.files import write_file
from dexloop.errors import DexloopError

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Label:
    """What a person says about one episode.

    success_from: index of the first frame at which the task is done, None for a failure. skip: the
    episode cannot be judged and is used for nothing.
    """

    success_from: int | None
    skip: bool = False

    def as_json(self) -> dict[str, Any]:
        """The label as the file and the page write it."""
        return {"skip": True} if self.skip else {"success_from": self.success_from}

    @staticmethod
    def from_json(value: object) -> Label:
        """The label that ``as_json`` wrote. Raises ValueError for anything else."""
        match value:
            case {"skip": True}:
                return Label(None, skip=True)
            case {"success_from": None}:
                return Label(None)
            case {"success_from": int(frame)} if not isinstance(frame, bool) and frame >= 0:
                return Label(frame)
            case _:
                raise ValueError("a label has success_from, a frame or null, or says skip")


class Labels:
    """The labels of a run in a JSON file, by episode key such as ``demos/0``; changes are on disk at once.

    The file: {"version": 1, "episodes": {key: {"success_from": 41 or null} or {"skip": true}}}. Raises
    DexloopError for a file that is damaged or of another version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._episodes = _read(path)

    @property
    def episodes(self) -> Mapping[str, Label]:
        return dict(self._episodes)

    def get(self, key: str) -> Label | None:
        """The label of an episode, None as long as nobody has judged it."""
        return self._episodes.get(key)

    def set(self, key: str, label: Label | None) -> None:
        """Keep a label, or forget it with None."""
        with self._lock:
            # Read again, so that a second window or program does not lose its labels to this one.
            episodes = _read(self._path)
            episodes.pop(key, None)
            if label is not None:
                episodes[key] = label
            stored = {name: kept.as_json() for name, kept in episodes.items()}
            content = json.dumps({"version": _VERSION, "episodes": stored}, indent=1)
            write_file(self._path, content.encode("utf-8"))
            self._episodes = episodes


def _read(path: Path) -> dict[str, Label]:
    try:
        stored = json.loads(path.read_text("utf-8"))
        if stored["version"] != _VERSION:
            raise DexloopError(f"{path}: version {stored['version']} of the labels is not known, expected 1")
        return {str(key): Label.from_json(value) for key, value in stored["episodes"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DexloopError(f"{path}: not a file of labels ({error}); mend it or move it away") from error
