"""``meta/tasks.parquet``: the task strings and their numbers, as pandas would have written them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dexloop.data.parquet import encode_table, read_table
from dexloop.errors import DexloopError

_INDEX = "task"


def encode_tasks(tasks: Sequence[str]) -> bytes:
    """Parquet bytes of a frame with column ``task_index`` and the task string as its index."""
    table = pa.table(
        {
            "task_index": pa.array(range(len(tasks)), pa.int64()),
            _INDEX: pa.array(tasks, pa.string()),
        }
    )
    described: dict[str, Any] = {
        "index_columns": [_INDEX],
        "column_indexes": [_column(None, None, "unicode", "object") | {"metadata": {"encoding": "UTF-8"}}],
        "columns": [
            _column("task_index", "task_index", "int64", "int64"),
            _column(_INDEX, _INDEX, "unicode", "object"),
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    return encode_table(table.replace_schema_metadata({"pandas": json.dumps(described)}))


def read_tasks(path: Path) -> list[str]:
    """The task strings in the order of their numbers, whatever the index is called."""
    table = read_table(path)
    names = [name for name in table.column_names if pa.types.is_string(table.schema.field(name).type)]
    names += [name for name in table.column_names if pa.types.is_large_string(table.schema.field(name).type)]
    if not names or "task_index" not in table.column_names:
        raise DexloopError(f"{path}: has no column with the tasks' names and numbers")
    numbered = zip(table.column("task_index").to_pylist(), table.column(names[0]).to_pylist(), strict=True)
    return [str(task) for _, task in sorted(numbered)]


def _column(name: str | None, field: str | None, pandas_type: str, numpy_type: str) -> dict[str, Any]:
    return {
        "name": name,
        "field_name": field,
        "pandas_type": pandas_type,
        "numpy_type": numpy_type,
        "metadata": None,
    }
