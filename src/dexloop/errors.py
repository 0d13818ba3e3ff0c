"""The errors dexloop raises on purpose; the command line prints them in one line, without a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class DexloopError(Exception):
    """Something the user can mend: the message names the flag or file at fault and what would be right."""


class RobotFault(DexloopError):
    """A fault, or a stop, where a robot has no Step to report it in: while it holds, and at reset. Says what it is."""


def unknown(what: str, name: str, known: Iterable[str]) -> DexloopError:
    """The error for a name that is none of ``known``; what: the flag or argument that it came by."""
    names = list(known)
    close = get_close_matches(name, names, 1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return DexloopError(f"{what} {name}: there is no such one{meant}; there are: {', '.join(names)}")
