"""One episode's numbers and frames from its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dexloop.data import schema
from dexloop.data.foreign import complete_columns
from dexloop.data.index import EpisodeRow
from dexloop.data.info import EpisodeInfo, checksums_from_json
from dexloop.data.layout import Layout
from dexloop.data.loose import LooseObservations, read_loose
from dexloop.data.parquet import Columns, numeric_columns, read_note, read_table
from dexloop.data.stats import Stats, column_stats, image_stats
from dexloop.data.video import decode_video
from dexloop.errors import DexloopError
from dexloop.types import ImageArray


def read_columns(layout: Layout, row: EpisodeRow) -> Columns:
    """All numeric columns of an episode. Raises DexloopError where its data file is damaged."""
    path = layout.data_file(row)
    stored = numeric_columns(path, read_table(path, None if layout.native else row.episode))
    columns = complete_columns(path, stored, layout.spec)
    _check_length(path, row, len(columns[schema.EXECUTED]))
    return columns


def read_frames(layout: Layout, row: EpisodeRow, images: ImageArray, key: str) -> None:
    """Fill ``images`` (T, H, W, 3) with the frames of the camera ``key``.

    Raises DexloopError where the video is damaged.
    """
    checksum = read_checksums(layout, row).get(key) if layout.native else None
    path, span = layout.video_file(row, key), row.videos[key]
    decode_video(path, images, layout.spec.control_hz, span.start, checksum)


def read_checksums(layout: Layout, row: EpisodeRow) -> dict[str, int]:
    """The CRC-32 of each video of an episode that dexloop stored, by feature name."""
    path = layout.data_file(row)
    return checksums_from_json(path, read_note(path)[1])


def read_after(layout: Layout, row: EpisodeRow, columns: Columns, frames: dict[str, ImageArray]) -> LooseObservations:
    """The next-observations without a row; a dataset of another program has none, its last row stands in."""
    if layout.native:
        return read_native_after(layout, row)
    privileged = columns.get(schema.PRIVILEGED)
    return LooseObservations(
        steps=np.array([row.length - 1]),
        proprio=columns[schema.STATE][-1:],
        privileged=None if privileged is None else privileged[-1:],
        images={camera: images[row.length - 1 : row.length] for camera, images in frames.items()},
    )


def read_native_after(layout: Layout, row: EpisodeRow) -> LooseObservations:
    """The next-observations without a row, as dexloop stores them."""
    return read_loose(layout.loose_file(row), layout.spec.observation, row.length)


def empty_frames(layout: Layout, count: int) -> dict[str, ImageArray]:
    """Room for ``count`` frames of each camera, {camera: (count, H, W, 3) uint8}."""
    cameras = layout.spec.observation.cameras
    return {camera: np.empty((count, *size, 3), np.uint8) for camera, size in cameras.items()}


def with_stats(row: EpisodeRow, columns: Columns, frames: dict[str, ImageArray]) -> EpisodeRow:
    """The row with statistics of its columns and of its frames {camera: (T, H, W, 3)}."""
    stats: Stats = {name: column_stats(column) for name, column in columns.items() if name not in schema.PLACES}
    stats |= {schema.IMAGES + camera: image_stats(images) for camera, images in frames.items()}
    return replace(row, stats=stats)


def derived_info(layout: Layout, row: EpisodeRow, columns: Columns) -> EpisodeInfo:
    """What can be said of an episode that another program recorded; its seed is given as -1."""
    seconds = row.length / layout.spec.control_hz
    return EpisodeInfo(
        task=row.task,
        seed=-1,
        success=bool(columns[schema.SUCCESS].any()),
        true_success=None,
        robot_seconds=seconds,
        wall_seconds=seconds,
        valid=True,
        length=row.length,
    )


def _check_length(path: Path, row: EpisodeRow, count: int) -> None:
    if count != row.length:
        raise DexloopError(f"{path}: holds {count} steps of episode {row.episode}, meta/episodes says {row.length}")
