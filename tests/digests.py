"""Fingerprints of large contents, for tests that compare them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path


def digest(content: Path | bytes) -> str:
    """Of a file, or of bytes.

    Where bytes themselves are compared and differ, pytest on a CI machine takes minutes to show how, and times out.
    """
    return sha256(content if isinstance(content, bytes) else content.read_bytes()).hexdigest()
