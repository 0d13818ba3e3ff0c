"""metrics.jsonl: one JSON object a line, appended as things happen."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO


class MetricsFile:
    """Appends to a metrics file; several processes may, as each line is one write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, kind: str, **values: float | int | bool | str | None) -> None:
        """Append one record; numbers that are not finite become null, as JSON has none."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        line = json.dumps({"kind": kind, "time": round(time.time(), 3), **finite}).encode() + b"\n"
        with self.path.open("a+b") as file:
            file.write(b"\n" + line if _is_torn(file) else line)


def _is_torn(file: BinaryIO) -> bool:
    """Whether a crash left the last line without its end, so that it would swallow the next one."""
    if file.tell() == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a metrics file; a line torn by a crash is passed over."""
    if not path.is_file():
        return
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            continue
        if isinstance(record, dict):
            yield record
