"""New values in the text of a TOML file, whose comments and order stay.

tomlkit (0.15) would put a new key below the comments that introduce the section after it.
"""

from __future__ import annotations

import re
from pathlib import Path

from dexloop.errors import DexloopError

# A line that begins with a bracket and ends with it is a header; an array's lines end otherwise, or hold numbers.
_HEADER = re.compile(r"^[ \t]*\[\[?[A-Za-z_][\w.\- ]*\]\]?[ \t]*(#[^\n]*)?$", re.MULTILINE)


def with_value(text: str, section: str, key: str, value: str) -> str:
    """The text with ``key = value`` in [section]: in place of the old value, below the comment that shows it, or first.

    For sections under a header of their own, and old values that are numbers or arrays of numbers.
    """
    header = re.search(rf"^[ \t]*\[{re.escape(section)}\][^\n]*(\n|\Z)", text, re.MULTILINE)
    if header is None:
        return f"{text.rstrip()}\n\n[{section}]\n{key} = {value}\n".lstrip()
    following = _HEADER.search(text, header.end())
    end = following.start() if following else len(text)
    before, body, after = text[: header.end()], text[header.end() : end], text[end:]
    old = re.compile(rf"^([ \t]*{re.escape(key)}[ \t]*=[ \t]*)(\[[^\]]*\]|[^\s#]+)", re.MULTILINE)
    if old.search(body):
        return before + old.sub(lambda found: found.group(1) + value, body, count=1) + after
    shown = re.search(rf"^[ \t]*#[ \t]*{re.escape(key)}[ \t]*=[^\n]*(\n|\Z)", body, re.MULTILINE)
    at = shown.end() if shown else 0
    line = f"{key} = {value}\n"
    gap = "" if not (before + body[:at]) or (before + body[:at]).endswith("\n") else "\n"
    return before + body[:at] + gap + line + body[at:] + after


def write_new(path: Path, text: str) -> None:
    """Write a file that must not be there yet; one that cannot be written whole is removed.

    Raises DexloopError.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise DexloopError(f"{path} is there already and is not overwritten; choose another --out") from None
    except OSError as error:
        raise DexloopError(f"{path}: cannot be written: {error.strerror}") from None
