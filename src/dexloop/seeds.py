"""The ledger of random seeds: every use has its own range, and no two ranges meet.

Claims are made on ``TEST`` seeds only; whatever is tuned is tuned on ``TUNING``.
"""

from __future__ import annotations

from enum import IntEnum

_RUNS = 1_000
_EPISODES = 1_000_000


class Purpose(IntEnum):
    """What a seed is for; the number is the range's place and must never change."""

    DEMONSTRATIONS = 1
    ROLLOUTS = 2
    TRAINING = 3
    TUNING = 4
    TEST = 5


def episode_seed(purpose: Purpose, run_seed: int, index: int) -> int:
    """The seed of episode ``index`` of a run, unique over purposes, runs and episodes.

    Raises ValueError for a run seed outside [0, 1000) or an index outside [0, 1,000,000).
    """
    if not 0 <= run_seed < _RUNS:
        raise ValueError(f"seed must lie in [0, {_RUNS}), got {run_seed}")
    if not 0 <= index < _EPISODES:
        raise ValueError(f"episode index must lie in [0, {_EPISODES}), got {index}")
    return (purpose * _RUNS + run_seed) * _EPISODES + index
