"""Where the files of a dataset lie, and which robot it is of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dexloop.data import schema
from dexloop.data.index import EpisodeRow, VideoSpan
from dexloop.data.parquet import damaged
from dexloop.data.tasks import read_tasks
from dexloop.errors import DexloopError
from dexloop.types import RobotSpec

_LOOSE_PATH = "next/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of a dataset. native: written by dexloop, one data file and one video a camera an episode."""

    root: Path
    spec: RobotSpec
    native: bool
    data_path: str = schema.DATA_PATH
    video_path: str = schema.VIDEO_PATH

    @property
    def cameras(self) -> list[str]:
        """The cameras' feature names, ``observation.images.*``."""
        return [schema.IMAGES + camera for camera in self.spec.observation.cameras]

    @property
    def info_file(self) -> Path:
        return info_file(self.root)

    @property
    def tasks_file(self) -> Path:
        return self.root / "meta/tasks.parquet"

    @property
    def stats_file(self) -> Path:
        return self.root / "meta/stats.json"

    def data_file(self, row: EpisodeRow) -> Path:
        return self._path(self.data_path, chunk_index=row.chunk, file_index=row.file)

    def loose_file(self, row: EpisodeRow) -> Path:
        return self._path(_LOOSE_PATH, chunk_index=row.chunk, file_index=row.file)

    def video_file(self, row: EpisodeRow, key: str) -> Path:
        span = row.videos[key]
        return self._path(self.video_path, video_key=key, chunk_index=span.chunk, file_index=span.file)

    def row(self, episode: int, task: str, length: int, first_step: int) -> EpisodeRow:
        """The index row of an episode that dexloop writes; without statistics."""
        chunk, file = divmod(episode, schema.CHUNK_SIZE)
        span = VideoSpan(chunk, file, start=0.0, stop=length / self.spec.control_hz)
        videos = dict.fromkeys(self.cameras, span)
        return EpisodeRow(episode, task, length, first_step, chunk, file, videos)

    def files_on_disk(self, kind: str) -> dict[int, Path]:
        """The native files under ``data``, ``next`` or ``videos/<camera>``, by episode."""
        found: dict[int, Path] = {}
        for path in sorted((self.root / kind).glob("chunk-*/file-*")):
            match = re.fullmatch(r"chunk-(\d{3,})/file-(\d{3})\.(parquet|mp4)", f"{path.parent.name}/{path.name}")
            if match:
                found[int(match[1]) * schema.CHUNK_SIZE + int(match[2])] = path
        return found

    def _path(self, template: str, **parts: Any) -> Path:
        try:
            return self.root / template.format(**parts)
        except (IndexError, KeyError, ValueError) as error:
            raise DexloopError(f"{self.info_file}: the path template {template!r} is not LeRobot v3's") from error


def info_file(root: Path) -> Path:
    return root / "meta/info.json"


def robot_file(root: Path) -> Path:
    """What dexloop keeps beyond LeRobot's info.json: the whole robot, and its own format's version."""
    return root / "meta/dexloop.json"


def read_layout(root: Path) -> tuple[Layout, Mapping[str, Any] | None, list[str]]:
    """A dataset's layout, its info.json (None where that is damaged and can be made again) and warnings.

    Raises DexloopError where there is no dataset, or one of a version or kind that cannot be read.
    """
    native = robot_file(root).exists()
    if not native and not info_file(root).exists():
        raise DexloopError(f"{root}: is not a dataset, meta/info.json is missing")
    content: Mapping[str, Any] | None = None
    warnings: list[str] = []
    try:
        content = read_json(info_file(root))
    except DexloopError as error:
        if not native:
            raise
        warnings.append(f"{error}; made again")
    if content is not None and content.get("codebase_version") != schema.CODEBASE_VERSION:
        raise DexloopError(
            f"{info_file(root)}: the dataset's version is {content.get('codebase_version')!r}, "
            f"only LeRobot {schema.CODEBASE_VERSION} can be read; convert it with LeRobot's own tool"
        )
    if native:
        return Layout(root, _native_spec(root), native=True), content, warnings
    assert content is not None
    return _foreign_layout(root, content), content, warnings


def _native_spec(root: Path) -> RobotSpec:
    path = robot_file(root)
    content = read_json(path)
    if content.get("format") != schema.FORMAT_VERSION:
        raise DexloopError(
            f"{path}: format {content.get('format')!r} is unknown, this dexloop reads {schema.FORMAT_VERSION}"
        )
    return schema.spec_from_json(path, content.get("robot", {}))


def _foreign_layout(root: Path, content: Mapping[str, Any]) -> Layout:
    tasks = read_tasks(root / "meta/tasks.parquet")
    spec = schema.spec_from_info(info_file(root), content, tasks[0] if tasks else "", max_steps=0)
    return Layout(
        root,
        spec,
        native=False,
        data_path=str(content.get("data_path", schema.DATA_PATH)),
        video_path=str(content.get("video_path") or schema.VIDEO_PATH),
    )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``. Raises DexloopError where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        return dict(content)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
