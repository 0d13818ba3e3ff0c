"""``meta/episodes``: where each episode's steps and videos lie, and its statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dexloop.data.parquet import damaged, encode_table, read_table
from dexloop.data.schema import IMAGES
from dexloop.data.stats import FeatureStats, Stats

ROWS_PER_FILE = 100
_STATISTICS = ("min", "max", "mean", "std")


@dataclass(frozen=True, slots=True)
class VideoSpan:
    """Where an episode's frames lie: chunk and file number, and [start, stop) in that file [s]."""

    chunk: int
    file: int
    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """One episode in the index. first_step: its first step's number in the whole dataset."""

    episode: int
    task: str
    length: int
    first_step: int
    chunk: int
    file: int
    videos: Mapping[str, VideoSpan]
    stats: Stats = field(default_factory=dict[str, FeatureStats])


def encode_rows(rows: Sequence[EpisodeRow], chunk: int, file: int) -> bytes:
    """One file of the index, ``file`` of ``chunk``, as Parquet bytes."""
    columns: dict[str, Any] = {
        "episode_index": pa.array([row.episode for row in rows], pa.int64()),
        "tasks": pa.array([[row.task] for row in rows], pa.list_(pa.string())),
        "length": pa.array([row.length for row in rows], pa.int64()),
        "data/chunk_index": pa.array([row.chunk for row in rows], pa.int64()),
        "data/file_index": pa.array([row.file for row in rows], pa.int64()),
        "dataset_from_index": pa.array([row.first_step for row in rows], pa.int64()),
        "dataset_to_index": pa.array([row.first_step + row.length for row in rows], pa.int64()),
    }
    for key in rows[0].videos:
        spans = [row.videos[key] for row in rows]
        columns[f"videos/{key}/chunk_index"] = pa.array([span.chunk for span in spans], pa.int64())
        columns[f"videos/{key}/file_index"] = pa.array([span.file for span in spans], pa.int64())
        columns[f"videos/{key}/from_timestamp"] = pa.array([span.start for span in spans], pa.float64())
        columns[f"videos/{key}/to_timestamp"] = pa.array([span.stop for span in spans], pa.float64())
    for name in rows[0].stats:
        for statistic in _STATISTICS:
            values = [getattr(row.stats[name], statistic).tolist() for row in rows]
            columns[f"stats/{name}/{statistic}"] = pa.array(values)
        columns[f"stats/{name}/count"] = pa.array([[row.stats[name].count] for row in rows])
    columns["meta/episodes/chunk_index"] = pa.array([chunk] * len(rows), pa.int64())
    columns["meta/episodes/file_index"] = pa.array([file] * len(rows), pa.int64())
    return encode_table(pa.table(columns))


def read_rows(path: Path, cameras: Sequence[str]) -> list[EpisodeRow]:
    """The episodes of one index file. cameras: video keys, ``observation.images.*``.

    Raises DexloopError where the file is damaged or lacks a column.
    """
    table = read_table(path)
    try:
        return [_row(record, cameras) for record in table.to_pylist()]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from error


def index_file(root: Path, episode: int) -> tuple[Path, int, int]:
    """The index file that dexloop keeps an episode in, with its chunk and file number."""
    chunk, file = divmod(episode // ROWS_PER_FILE, 1000)
    return root / f"meta/episodes/chunk-{chunk:03d}/file-{file:03d}.parquet", chunk, file


def first_episode(path: Path) -> int:
    """The first episode that the index file at ``path`` has room for."""
    chunk, file = (int(name.rsplit("-", 1)[1]) for name in (path.parent.name, path.stem))
    return (chunk * 1000 + file) * ROWS_PER_FILE


def _row(record: Mapping[str, Any], cameras: Sequence[str]) -> EpisodeRow:
    videos = {
        key: VideoSpan(
            chunk=int(record[f"videos/{key}/chunk_index"]),
            file=int(record[f"videos/{key}/file_index"]),
            start=float(record[f"videos/{key}/from_timestamp"]),
            stop=float(record[f"videos/{key}/to_timestamp"]),
        )
        for key in cameras
    }
    length, first_step = int(record["length"]), int(record["dataset_from_index"])
    if length < 1 or not all(math.isfinite(span.start) for span in videos.values()):
        raise ValueError(f"episode {record['episode_index']} has no steps or no start time")
    return EpisodeRow(
        episode=int(record["episode_index"]),
        task=str(record["tasks"][0]),
        length=length,
        first_step=first_step,
        chunk=int(record["data/chunk_index"]),
        file=int(record["data/file_index"]),
        videos=videos,
        stats=_stats(record),
    )


def _stats(record: Mapping[str, Any]) -> Stats:
    names = [key.split("/")[1] for key in record if key.startswith("stats/") and key.endswith("/count")]
    stats: Stats = {}
    for name in names:
        values = [np.asarray(record[f"stats/{name}/{statistic}"], np.float64) for statistic in _STATISTICS]
        if name.startswith(IMAGES):
            values = [value.reshape(3, 1, 1) for value in values]
        stats[name] = FeatureStats(*values, count=int(record[f"stats/{name}/count"][0]))
    return stats
