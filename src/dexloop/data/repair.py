"""Reading the index of a dataset that may have been killed in mid-write, cut short or damaged.

The episode files are the truth. An episode is complete when its data file is there, because that file is
put in place last; whatever ``meta`` says otherwise is made again from the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dexloop.data.catalog import Catalog
from dexloop.data.files import TEMPORARY_SUFFIX, remove_files, write_file
from dexloop.data.index import ROWS_PER_FILE, EpisodeRow, first_episode, read_rows
from dexloop.data.info import EpisodeInfo, info_from_json
from dexloop.data.layout import Layout, read_json
from dexloop.data.parquet import read_note
from dexloop.data.reader import empty_frames, read_columns, read_frames, with_stats
from dexloop.data.schema import IMAGES
from dexloop.data.tasks import encode_tasks, read_tasks
from dexloop.data.video import video_is_whole
from dexloop.errors import DexloopError


def load_catalog(layout: Layout, info: Mapping[str, Any] | None, repair: bool) -> Catalog:
    """The index of the dataset as its files have it; what could not be read is in its ``warnings``.

    info: the content of info.json, None where it is damaged. repair: also remove what an interrupted
    write left, and write ``meta`` again where it is wrong; not to be set while another process may write.
    """
    catalog = Catalog(layout)
    damaged = _read_index(catalog)
    if not layout.native:
        _check_foreign(catalog)
        return catalog
    listed = dict(catalog.rows)
    stored = layout.files_on_disk("data")
    _drop_unstored(catalog, stored)
    task_names = _check_native(catalog, stored)
    catalog.next_episode = max([*catalog.rows, *stored], default=-1) + 1
    if repair:
        _remove_leftovers(catalog, stored)
        changed = {n for n in {*listed, *catalog.rows} if listed.get(n) is not catalog.rows.get(n)}
        for number in sorted(changed & catalog.rows.keys()):
            path = layout.data_file(catalog.rows[number])
            catalog.warnings.append(f"{path}: episode {number} was stored but not listed; listed again")
        try:
            _mend_meta(catalog, info, task_names, changed | damaged)
        except DexloopError as error:
            # Reading must be possible on a full disk; the next opening tries again.
            catalog.warnings.append(f"{error}; meta stays as it was")
    return catalog


def _read_index(catalog: Catalog) -> set[int]:
    """Fill rows and tasks; returns the first episode of every index file that is damaged."""
    layout, damaged = catalog.layout, set[int]()
    for path in sorted((layout.root / "meta/episodes").glob("chunk-*/file-*.parquet")):
        try:
            catalog.rows.update((row.episode, row) for row in read_rows(path, layout.cameras))
        except DexloopError as error:
            catalog.warnings.append(f"{error}; its episodes are listed again" if layout.native else str(error))
            damaged.add(first_episode(path))
    try:
        catalog.tasks = read_tasks(layout.tasks_file)
    except DexloopError as error:
        catalog.warnings.append(f"{error}; made again")
    return damaged


def _check_foreign(catalog: Catalog) -> None:
    layout = catalog.layout
    whole: dict[Path, bool] = {}
    for episode, row in sorted(catalog.rows.items()):
        paths = [layout.data_file(row), *(layout.video_file(row, key) for key in layout.cameras)]
        for path in paths:
            if path not in whole:
                whole[path] = video_is_whole(path) if path.suffix == ".mp4" else path.is_file()
        bad = next((path for path in paths if not whole[path]), None)
        if bad is None:
            catalog.put(row, None)
        else:
            catalog.warnings.append(f"{bad}: the file is missing or cut short; episode {episode} is left out")


def _drop_unstored(catalog: Catalog, stored: Mapping[int, Path]) -> None:
    """Forget listed episodes after the last stored one: their append was taken back."""
    for number in [number for number in catalog.rows if number > max(stored, default=-1)]:
        path = catalog.layout.data_file(catalog.rows[number])
        catalog.warnings.append(f"{path}: episode {number} was listed but is not there; dropped")
        catalog.drop(number)


def _check_native(catalog: Catalog, stored: Mapping[int, Path]) -> dict[int, str]:
    """Fill ``infos``; rebuild rows that are missing or wrong. Returns the tasks' names by number."""
    layout, task_names = catalog.layout, dict[int, str]()
    for number in sorted({*catalog.rows, *stored}):
        row = catalog.rows.get(number)
        path = stored.get(number) or layout.data_file(layout.row(number, "", 1, 0))
        try:
            length, note = read_note(path)
            info, task_index = info_from_json(path, note, length)
            expected = layout.row(number, info.task, length, first_step=0)
            for key in layout.cameras:
                if not video_is_whole(layout.video_file(expected, key)):
                    raise DexloopError(f"{layout.video_file(expected, key)}: the video is missing or cut short")
            read_note(layout.loose_file(expected))
            if row is None or row.length != length or row.task != info.task or not row.stats:
                row = _rebuilt(layout, number, info)
        except DexloopError as error:
            catalog.warnings.append(f"{error}; episode {number} is left out")
            continue
        catalog.put(row, info)
        task_names[task_index] = info.task
    return task_names


def _rebuilt(layout: Layout, number: int, info: EpisodeInfo) -> EpisodeRow:
    """The index row of a stored episode, from its files."""
    row = layout.row(number, info.task, info.length, first_step=0)
    columns = read_columns(layout, row)
    frames = empty_frames(layout, row.length)
    for camera, images in frames.items():
        read_frames(layout, row, images, IMAGES + camera)
    row = layout.row(number, info.task, info.length, first_step=int(columns["index"][0]))
    return with_stats(row, columns, frames)


def _remove_leftovers(catalog: Catalog, stored: Mapping[int, Path]) -> None:
    """Remove temporary files, and videos and next-observations whose data file never came."""
    layout = catalog.layout
    kinds = ["next", *(f"videos/{key}" for key in layout.cameras)]
    for directory in ["data", "meta", *kinds]:
        for path in (layout.root / directory).rglob(f".*{TEMPORARY_SUFFIX}"):
            catalog.warnings.append(f"{path}: left by an interrupted write; removed")
            remove_files([path])
    for kind in kinds:
        for number, path in layout.files_on_disk(kind).items():
            if number not in stored and number not in catalog.rows:
                catalog.warnings.append(f"{path}: belongs to no stored episode; removed")
                remove_files([path])


def _mend_meta(
    catalog: Catalog, info: Mapping[str, Any] | None, task_names: Mapping[int, str], changed: set[int]
) -> None:
    """Write again what is wrong in ``meta``; changed: episodes whose index file is."""
    layout = catalog.layout
    tasks = dict(enumerate(catalog.tasks or [layout.spec.task])) | dict(task_names)
    names = [tasks.get(number, "") for number in range(max(tasks) + 1)]
    if names != catalog.tasks:
        write_file(layout.tasks_file, encode_tasks(names))
        catalog.tasks = names
    for group in sorted({number // ROWS_PER_FILE for number in changed}):
        catalog.save(group * ROWS_PER_FILE)
    wanted = catalog.info()
    totals = ("total_episodes", "total_frames", "total_tasks")
    wrong = info is None or any(info.get(total) != wanted[total] for total in totals)
    if info is not None and wrong:
        said, are = info.get("total_episodes"), wanted["total_episodes"]
        catalog.warnings.append(f"{layout.info_file}: said {said} episodes, there are {are}; corrected")
    try:
        wrong = wrong or read_json(layout.stats_file) != catalog.stats_json()
    except DexloopError as error:
        catalog.warnings.append(f"{error}; made again")
        wrong = True
    if wrong:
        catalog.save_summary()
