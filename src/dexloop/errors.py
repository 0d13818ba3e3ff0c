"""The errors dexloop raises on purpose; the command line prints them in one line, without a traceback."""

from __future__ import annotations


class DexloopError(Exception):
    """Something the user can mend: the message names the flag or file at fault and what would be right."""
