"""The files of cells, one JSON file each: written by the cells, read for tables and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dexloop.bench.cell import Cell
from dexloop.data.files import write_file
from dexloop.errors import DexloopError

Entry = Mapping[str, Any]


def cell_path(results: Path, cell: Cell) -> Path:
    """Where a cell's file is."""
    return results / f"{cell.name}.json"


def write_cell(path: Path, entry: Entry) -> None:
    """Write a cell, one field a line: a column of a thousand numbers would have as many lines otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in entry.items())
    write_file(path, f"{{\n{fields}\n}}\n".encode())


def read_cells(results: Path) -> list[Entry]:
    """All cells below ``results``, in the order of their names. Raises DexloopError naming a damaged file."""
    cells: list[Entry] = []
    for path in sorted(results.glob("*.json")):
        try:
            entry = json.loads(path.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DexloopError(f"{path} is damaged: {error}; remove it to have it made again") from None
        if not isinstance(entry, dict) or not {"task", "policy", "seed", "steps"} <= entry.keys():
            raise DexloopError(f"{path} is not the result of a cell; it does not belong into {results}")
        cells.append(entry)
    return cells
