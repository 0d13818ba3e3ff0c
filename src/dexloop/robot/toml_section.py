"""A section of a TOML file, read key by key: what is missing, misspelt or out of range is named in one line."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dexloop.errors import DexloopError, unknown


def read_toml(path: Path) -> dict[str, object]:
    """The contents of a file; raises DexloopError where it cannot be read or is no TOML."""
    try:
        # Python 3.10 has no reader of its own.
        reader: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ModuleNotFoundError as error:
        raise DexloopError("TOML needs tomli on Python 3.10: pip install 'dexloop[hardware]'") from error
    try:
        return reader.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DexloopError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DexloopError(f"{path}: {error}") from None


class Section:
    """Reads a table's values, each by a method that says what it must be; ``end`` refuses what nobody read.

    file, name: for messages. A key without ``default`` is needed. All methods raise DexloopError.
    """

    def __init__(self, file: str, name: str, table: dict[str, object]) -> None:
        self._place = f"{file}, [{name}]" if name else file
        self._file, self._name, self._table = file, name, table
        self._read: list[str] = []

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        self._read.append(key)
        return key in self._table

    def number(self, key: str, unit: str, low: float, high: float, default: float | None = None) -> float:
        """A finite number from low to high."""
        value = self._value(key, default)
        if not _is_number(value) or not low <= value <= high:
            raise self._refusal(key, f"a number from {low:g} to {high:g}{unit and ' ' + unit}", value)
        return float(value)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number from low to high."""
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._refusal(key, f"a whole number from {low} to {high}", value)
        return value

    def numbers(
        self,
        key: str,
        unit: str,
        low: Sequence[float],
        high: Sequence[float],
        default: Sequence[float] | None = None,
    ) -> tuple[float, ...]:
        """As many finite numbers as there are ends of their ranges."""
        values = self._value(key, default)
        count, of_unit = len(low), unit and " " + unit
        if not isinstance(values, (list, tuple)) or len(values) != count or not all(map(_is_number, values)):
            raise self._refusal(key, f"{count} numbers{unit and ' in ' + unit}", values)
        for i, (value, least, most) in enumerate(zip(values, low, high, strict=True)):
            if not least <= value <= most:
                raise self._refusal(key, f"from {least:g} to {most:g}{of_unit} in place {i + 1}", value)
        return tuple(float(value) for value in values)

    def integers(
        self, key: str, count: int, low: int, high: int, default: tuple[int, ...] | None = None
    ) -> tuple[int, ...]:
        """So many whole numbers from low to high."""
        values = self._value(key, default)
        whole = isinstance(values, (list, tuple)) and all(
            isinstance(v, int) and not isinstance(v, bool) for v in values
        )
        if (
            not whole
            or not isinstance(values, (list, tuple))
            or len(values) != count
            or not all(low <= v <= high for v in values)
        ):
            raise self._refusal(key, f"{count} whole numbers from {low} to {high}", values)
        return tuple(values)

    def text(self, key: str, default: str | None = None) -> str:
        """Some text, not empty."""
        value = self._value(key, default)
        if not isinstance(value, str) or not value.strip():
            raise self._refusal(key, "some text in quotes", value)
        return value

    def choice(self, key: str, options: Sequence[str], default: str | None = None) -> str:
        """One of some words."""
        value = self._value(key, default)
        if not isinstance(value, str) or value not in options:
            raise self._refusal(key, f"one of {', '.join(options)}", value)
        return value

    def flag(self, key: str, default: bool | None = None) -> bool:
        """true or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self._refusal(key, "true or false", value)
        return value

    def section(self, key: str, *, needed: bool = True) -> Section:
        """A table within this one; an empty one in place of one that is missing but not needed."""
        value = self._value(key, None if needed else {})
        name = f"{self._name}.{key}" if self._name else key
        if not isinstance(value, dict):
            raise DexloopError(f"{self._file}: {name} must be a section: write [{name}]")
        return Section(self._file, name, value)

    def end(self) -> None:
        """Refuse keys that were not read."""
        for key in self._table:
            if key not in self._read:
                raise unknown(f"{self._place}:", key, dict.fromkeys(self._read))

    def refuse(self, why: str) -> DexloopError:
        """The error for values that do not fit together."""
        return DexloopError(f"{self._place}: {why}")

    def _value(self, key: str, default: object) -> Any:
        self._read.append(key)
        if key in self._table:
            return self._table[key]
        if default is None:
            close = get_close_matches(key, [name for name in self._table if name not in self._read], 1)
            meant = f" (does {close[0]} mean it?)" if close else ""
            raise DexloopError(f"{self._place}: {key} is missing{meant}")
        return default

    def _refusal(self, key: str, what: str, value: object) -> DexloopError:
        return DexloopError(f"{self._place} {key}: must be {what}, got {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
