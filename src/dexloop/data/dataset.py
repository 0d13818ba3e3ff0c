"""Episodes on disk, durable and readable by LeRobot: see docs/data.md for the layout."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import TracebackType

import numpy as np

from dexloop.data import schema
from dexloop.data.catalog import Catalog
from dexloop.data.columns import check_episode, episode_columns, to_transitions, with_verdict
from dexloop.data.files import WriterLock, remove_files, write_file, write_together
from dexloop.data.index import EpisodeRow
from dexloop.data.info import EpisodeInfo, info_of, info_to_json
from dexloop.data.late import LateImages
from dexloop.data.layout import Layout, info_file, read_layout, robot_file
from dexloop.data.loose import LooseObservations, encode_loose
from dexloop.data.parquet import Columns, encode_columns
from dexloop.data.reader import (
    derived_info,
    empty_frames,
    read_after,
    read_checksums,
    read_columns,
    read_frames,
    read_native_after,
    with_stats,
)
from dexloop.data.repair import load_catalog
from dexloop.data.video import encode_video
from dexloop.errors import DexloopError
from dexloop.types import Episode, ImageArray, RobotSpec

_LOCK_SECONDS = 10.0


class EpisodeDataset:
    """A LeRobotDataset v3.0 of one robot's episodes, one data file and one video a camera an episode.

    ``append`` and ``amend`` are durable and atomic: through kill -9, power loss or a full disk, every
    episode whose append returned is there, and none is there in part. One process writes at a time;
    any number may read meanwhile. Numbers are stored exactly, as float32; images as H.264 video.

    Datasets recorded by LeRobot itself can be read, not written.
    """

    def __init__(self, layout: Layout, lock: WriterLock, catalog: Catalog) -> None:
        self._layout = layout
        self._lock = lock
        self._catalog = catalog

    @classmethod
    def create(cls, path: Path | str, spec: RobotSpec) -> EpisodeDataset:
        """An empty dataset at ``path``. Raises DexloopError where there is one already."""
        root = Path(path)
        if robot_file(root).exists() or info_file(root).exists():
            raise DexloopError(f"{root}: already holds a dataset; open it, or choose another --out")
        schema.check_spec(spec)
        layout = Layout(root, spec, native=True)
        robot = {"format": schema.FORMAT_VERSION, "robot": schema.spec_to_json(spec)}
        write_file(robot_file(root), (json.dumps(robot, indent=2) + "\n").encode())
        catalog = Catalog(layout)
        catalog.task_index(spec.task)
        catalog.save_summary()
        return cls(layout, _lock(root), catalog)

    @classmethod
    def open(cls, path: Path | str, spec: RobotSpec | None = None) -> EpisodeDataset:
        """The dataset at ``path``, repaired; ``warnings`` says what was repaired or left out.

        spec: the robot it is wanted for. While another process writes, nothing on the disk is repaired.
        Raises DexloopError where there is no dataset, its version is
        unknown, or it is another robot's.
        """
        root = Path(path)
        layout, _, _ = read_layout(root)
        if spec is not None:
            schema.check_same_robot(root, layout.spec, spec)
        lock = _lock(root)
        repair = layout.native and lock.acquire()
        try:
            return cls(layout, lock, _load(root, repair))
        finally:
            lock.release()

    @classmethod
    def open_or_create(cls, path: Path | str, spec: RobotSpec) -> EpisodeDataset:
        """The dataset at ``path``, made where there is none. Raises DexloopError as ``open`` does."""
        root = Path(path)
        exists = robot_file(root).exists() or info_file(root).exists()
        return cls.open(root, spec) if exists else cls.create(root, spec)

    @property
    def path(self) -> Path:
        return self._layout.root

    @property
    def spec(self) -> RobotSpec:
        """The robot; of a dataset of another program, what can be told from its meta/info.json."""
        if self._layout.native:
            return self._layout.spec
        longest = max((row.length for row in self._catalog.rows.values()), default=0)
        return replace(self._layout.spec, max_steps=longest)

    @property
    def warnings(self) -> list[str]:
        """What opening repaired or left out, one sentence each, naming the file."""
        return self._catalog.warnings

    @property
    def episodes(self) -> list[int]:
        """The numbers of the usable episodes; a number never changes its episode."""
        return sorted(self._catalog.infos)

    def __len__(self) -> int:
        """How many episodes are usable."""
        return len(self._catalog.infos)

    def __enter__(self) -> EpisodeDataset:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let another process write. Everything is on the disk already."""
        self._lock.release()

    def append(self, episode: Episode) -> int:
        """Store an episode and return its number; it is on the disk when this returns.

        Raises DexloopError where shapes differ from ``spec``, numbers are not finite, another process
        is writing, or the disk is full; nothing of the episode is kept then.
        """
        layout = self._layout
        check_episode(layout.root, episode, layout.spec)
        catalog = self._writable()
        number, info = catalog.next_episode, info_of(episode)
        task_index = catalog.task_index(info.task)
        row = layout.row(number, info.task, info.length, catalog.next_step)
        columns = episode_columns(episode, layout.spec, number, row.first_step, task_index)
        frames = {
            camera: np.stack([t.observation.images[camera] for t in episode.transitions])
            for camera in layout.spec.observation.cameras
        }
        videos = {
            schema.IMAGES + camera: encode_video(images, layout.spec.control_hz) for camera, images in frames.items()
        }
        checksums = {key: zlib.crc32(content) for key, content in videos.items()}
        files = {layout.video_file(row, key): content for key, content in videos.items()}
        files[layout.loose_file(row)] = encode_loose(episode.transitions, layout.spec.observation)
        # The data file comes last: it is what makes the episode complete.
        files[layout.data_file(row)] = encode_columns(columns, info_to_json(info, task_index, checksums))
        row = with_stats(row, columns, frames)
        write_together(files)
        catalog.put(row, info)
        try:
            catalog.save(number)
        except DexloopError:
            catalog.drop(number)
            remove_files(list(reversed(files)))
            raise
        return number

    def amend(self, index: int, success: bool) -> None:
        """Give an episode the verdict that came after it ended, atomically.

        The last step gets reward 1 or 0 and terminates, as if the verdict had ended the episode; a
        failed episode keeps no successful step. Raises DexloopError as ``append`` does.
        """
        catalog = self._writable()
        row = self._row(index)
        path = self._layout.data_file(row)
        columns = with_verdict(read_columns(self._layout, row), success)
        info = replace(self.episode_info(index), success=success)
        note = info_to_json(info, catalog.task_index(info.task), read_checksums(self._layout, row))
        write_file(path, encode_columns(columns, note))
        stats = row.stats | with_stats(row, columns, {}).stats
        catalog.put(replace(row, stats=stats), info)
        catalog.save(index)

    def episode(self, index: int, *, late: bool = False) -> Episode:
        """An episode with everything. Raises DexloopError where a file is damaged.

        late: decode the images only when one of them is looked at; a damaged video is noticed only then.
        """
        if late:
            columns, after = self.columns(index), self.after(index)
            cameras, frames = tuple(self._layout.spec.observation.cameras), cache(partial(self.frames, index))
            images = [LateImages(cameras, frames, step) for step in range(self._row(index).length)]
        else:
            row, columns, decoded, after = self._read(index)
            images = [{camera: seen[step] for camera, seen in decoded.items()} for step in range(row.length)]
        info = self.episode_info(index)
        return Episode(
            transitions=to_transitions(columns, images, after.observations()),
            task=info.task,
            seed=info.seed,
            success=info.success,
            true_success=info.true_success,
            robot_seconds=info.robot_seconds,
            wall_seconds=info.wall_seconds,
            valid=info.valid,
            stop=info.stop,
            info=info.info,
        )

    def columns(self, index: int) -> Columns:
        """The numeric columns by name, scalars (T,) and vectors (T, n); no video is decoded."""
        return read_columns(self._layout, self._row(index))

    def frames(self, index: int) -> dict[str, ImageArray]:
        """{camera: (T + 1, H, W, 3) uint8 RGB}: what was seen before each step and after the last."""
        return self._read(index)[2]

    def after(self, index: int) -> LooseObservations:
        """What was seen after the last step, and after each step that a hold followed."""
        row = self._row(index)
        return read_native_after(self._layout, row) if self._layout.native else self._read(index)[3]

    def episode_info(self, index: int) -> EpisodeInfo:
        """Seed, verdicts, times and length of an episode."""
        row = self._row(index)
        info = self._catalog.infos[index]
        return info if info is not None else derived_info(self._layout, row, self.columns(index))

    def _read(self, index: int) -> tuple[EpisodeRow, Columns, dict[str, ImageArray], LooseObservations]:
        row = self._row(index)
        columns = read_columns(self._layout, row)
        frames = empty_frames(self._layout, row.length + 1)
        for camera, images in frames.items():
            read_frames(self._layout, row, images[:-1], schema.IMAGES + camera)
        after = read_after(self._layout, row, columns, frames)
        for camera, images in frames.items():
            images[-1] = after.images[camera][-1]
        return row, columns, frames, after

    def _row(self, index: int) -> EpisodeRow:
        if index not in self._catalog.infos:
            raise DexloopError(f"{self.path}: has no usable episode {index}; usable are {_ranges(self.episodes)}")
        return self._catalog.rows[index]

    def _writable(self) -> Catalog:
        """The catalog, with the right to write; read again if another process could have written."""
        if not self._layout.native:
            raise DexloopError(f"{self.path}: was not written by dexloop and can only be read")
        if not self._lock.held:
            if not self._lock.acquire(_LOCK_SECONDS):
                raise DexloopError(f"{self.path}: another process is writing to it, or it is write-protected")
            warnings = self._catalog.warnings
            self._catalog = _load(self.path, repair=True)
            self._catalog.warnings[:0] = warnings
        return self._catalog


def _load(root: Path, repair: bool) -> Catalog:
    layout, info, warnings = read_layout(root)
    catalog = load_catalog(layout, info, repair)
    catalog.warnings[:0] = warnings
    return catalog


def _lock(root: Path) -> WriterLock:
    return WriterLock(root / "meta/.lock")


def _ranges(numbers: list[int]) -> str:
    """Ascending numbers for people: 0-3, 5."""
    groups: list[tuple[int, int]] = []
    for number in numbers:
        if groups and groups[-1][1] == number - 1:
            groups[-1] = (groups[-1][0], number)
        else:
            groups.append((number, number))
    return ", ".join(f"{a}-{b}" if a < b else f"{a}" for a, b in groups) or "none"
