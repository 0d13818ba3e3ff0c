"""Tables of numeric columns as Parquet bytes: scalars (T,) and vectors (T, n), checked page by page."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dexloop.errors import DexloopError

Columns = dict[str, NDArray[Any]]


def encode_columns(columns: Mapping[str, NDArray[Any]], note: Mapping[str, Any]) -> bytes:
    """Parquet bytes of ``columns``, with ``note`` as JSON under the schema's ``dexloop`` key.

    A column (T,) or (T, 1) becomes a scalar column, a column (T, n) a fixed-size list, as LeRobot's
    datasets have it.
    """
    arrays: dict[str, Any] = {}
    for name, column in columns.items():
        flat = pa.array(np.ascontiguousarray(column).reshape(-1))
        wide = column.ndim == 2 and column.shape[1] != 1
        arrays[name] = pa.FixedSizeListArray.from_arrays(flat, column.shape[1]) if wide else flat
    table = pa.table(arrays).replace_schema_metadata({"dexloop": json.dumps(note)})
    return encode_table(table)


def encode_table(table: Any) -> bytes:
    """Parquet bytes of a table, with a checksum on every page.

    Dictionaries and column statistics help large files only; in small ones they cost more than the data.
    """
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )
    return buffer.getvalue()


def read_table(path: Path, episode: int | None = None) -> Any:
    """The table in ``path``, or only its rows of one episode. Raises DexloopError where it is damaged."""
    filters = None if episode is None else [("episode_index", "==", episode)]
    try:
        # From an open file: given a path, pyarrow would take folders named like a=1 for columns.
        with path.open("rb") as file:
            return pq.read_table(file, filters=filters, use_threads=False, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from error


def read_note(path: Path) -> tuple[int, dict[str, Any] | None]:
    """A file's number of rows and its ``dexloop`` note, None where it has none; reads only the footer."""
    try:
        footer = pq.read_metadata(path)
        note = (footer.metadata or {}).get(b"dexloop")
        return footer.num_rows, None if note is None else dict(json.loads(note))
    except (OSError, pa.ArrowException, ValueError) as error:
        raise damaged(path, error) from error


def numeric_columns(path: Path, table: Any) -> Columns:
    """The numeric columns of a table as arrays (T,) or (T, n); other columns are left out.

    Raises DexloopError for missing values, ragged lists, NaN or infinity, naming file and column.
    """
    columns: Columns = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        vector = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
        item = column.type.value_type if vector else column.type
        if not (pa.types.is_integer(item) or pa.types.is_floating(item) or pa.types.is_boolean(item)):
            continue
        flat = column.flatten() if vector else column
        if column.null_count or flat.null_count:
            raise DexloopError(f"{path}: column {name} has missing values; every step needs a number")
        values: NDArray[Any] = flat.to_numpy(zero_copy_only=False)
        if vector:
            if len(column) and len(values) % len(column):
                raise DexloopError(f"{path}: column {name} has lists of different lengths")
            values = values.reshape(len(column), -1)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DexloopError(f"{path}: column {name} holds NaN or infinity; remove or record the episode again")
        columns[name] = values
    return columns


def damaged(path: Path, error: BaseException) -> DexloopError:
    """The user's version of an error met while reading ``path``."""
    if isinstance(error, FileNotFoundError):
        return DexloopError(f"{path}: the file is missing")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DexloopError(f"{path}: cannot be read, the file is damaged ({reason})")
