"""metrics.jsonl: one JSON object a line, appended as things happen."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class MetricsFile:
    """Appends to a metrics file; several processes may, as each line is one write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, kind: str, **values: float | int | bool | str | None) -> None:
        """Append one record; numbers that are not finite become null, as JSON has none."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        line = json.dumps({"kind": kind, "time": round(time.time(), 3), **finite})
        with self.path.open("a") as file:
            file.write(line + "\n")


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a metrics file; a last line torn by a crash is passed over."""
    if not path.is_file():
        return
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
