"""How many threads PyTorch computes with: all cores where nothing else runs, one beside another process.

OMP_NUM_THREADS, where it is set, says how many "all" are.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def all_cores() -> Generator[None]:
    """Compute with every core, and with one afterwards.

    Both are set, never left as found: sums depend on how they are split, and the same seed must give the
    same numbers whatever ran before in this process.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    torch.set_num_threads(int(asked) if asked.isdecimal() and int(asked) > 0 else os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(1)
