"""What a dataset's ``meta`` folder says, in memory and on the disk; all follows from the episodes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from dexloop.data import schema
from dexloop.data.files import remove_files, write_file
from dexloop.data.index import ROWS_PER_FILE, EpisodeRow, encode_rows, index_file
from dexloop.data.info import EpisodeInfo
from dexloop.data.layout import Layout
from dexloop.data.stats import Stats, combine_stats
from dexloop.data.tasks import encode_tasks
from dexloop.data.video import CODEC


@dataclass(slots=True)
class Catalog:
    """The index of a dataset.

    rows: every episode known, by number. infos: the usable ones among them, None for
    those of another program. tasks: in the order of
    their numbers. warnings: what was repaired or left out, a sentence each.
    """

    layout: Layout
    rows: dict[int, EpisodeRow] = field(default_factory=dict[int, EpisodeRow])
    infos: dict[int, EpisodeInfo | None] = field(default_factory=dict[int, EpisodeInfo | None])
    tasks: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    next_episode: int = 0
    _stats: Stats | None = None

    @property
    def next_step(self) -> int:
        """The number in the whole dataset of the next step to be stored."""
        return max((row.first_step + row.length for row in self.rows.values()), default=0)

    @property
    def stats(self) -> Stats:
        """Statistics over all usable episodes."""
        if self._stats is None:
            total: Stats = {}
            for episode in self.infos:
                total = combine_stats(total, self.rows[episode].stats)
            self._stats = total
        return self._stats

    def put(self, row: EpisodeRow, info: EpisodeInfo | None) -> None:
        """Add an episode, or replace what is known of it."""
        if row.episode in self.infos:
            self._stats = None
        elif self._stats is not None:
            self._stats = combine_stats(self._stats, row.stats)
        self.rows[row.episode] = row
        self.infos[row.episode] = info
        self.next_episode = max(self.next_episode, row.episode + 1)

    def drop(self, episode: int) -> None:
        """Forget an episode whose files could not be kept; if it was the last, its number is free again."""
        self.rows.pop(episode, None)
        self.infos.pop(episode, None)
        self._stats = None
        if self.next_episode == episode + 1:
            self.next_episode = episode

    def task_index(self, task: str) -> int:
        """The task's number; a new task gets the next one, on the disk at once, before any step uses it."""
        if task not in self.tasks:
            write_file(self.layout.tasks_file, encode_tasks([*self.tasks, task]))
            self.tasks.append(task)
        return self.tasks.index(task)

    def save(self, episode: int) -> None:
        """Write the index file that lists ``episode``, stats.json and info.json."""
        path, chunk, file = index_file(self.layout.root, episode)
        first = episode // ROWS_PER_FILE * ROWS_PER_FILE
        rows = [self.rows[number] for number in range(first, first + ROWS_PER_FILE) if number in self.rows]
        if rows:
            write_file(path, encode_rows(rows, chunk, file))
        else:
            remove_files([path])
        self.save_summary()

    def save_summary(self) -> None:
        """Write stats.json and info.json."""
        write_file(self.layout.stats_file, _json_bytes(self.stats_json()))
        write_file(self.layout.info_file, _json_bytes(self.info()))

    def stats_json(self) -> dict[str, object]:
        """The content of ``meta/stats.json``."""
        return {name: stats.to_json() for name, stats in self.stats.items()}

    def info(self) -> dict[str, object]:
        """The content of ``meta/info.json``."""
        return schema.info(self.layout.spec, CODEC.pixel_format, self.next_episode, self.next_step, len(self.tasks))


def _json_bytes(content: object) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
