"""Under what conditions each task is learned, and what the paper reports.

Huang et al., "Dexterous Hand Manipulation via Efficient Imitation-Bootstrapped Online Reinforcement Learning",
arXiv 2503.04014, Tables I and II; a real robot of the same make, 40 trials a cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class Conditions:
    """Table I. demonstrations: how many. reset: of the object. robot_minutes: our budget, resets counted [min].

    paper_minutes: the paper's training time [min]; paper_accuracy: of its reward classifier.
    """

    demonstrations: int
    reset: Literal["fixed", "random"]
    robot_minutes: float
    paper_minutes: float
    paper_accuracy: float


@dataclass(frozen=True, slots=True)
class PaperResult:
    """Table II. success: rate over 40 trials. steps: the cycle time in steps of the paper's robot, None without any."""

    success: float
    steps: float | None


TABLE_1: Mapping[str, Conditions] = MappingProxyType(
    {
        "cup": Conditions(40, "fixed", 32.0, 59.0, 0.98),
        "cube": Conditions(36, "fixed", 32.0, 72.0, 0.96),
        "scanner": Conditions(31, "random", 40.0, 41.0, 0.95),
        "loopy": Conditions(36, "random", 40.0, 42.0, 0.99),
    }
)

_BC = {"cup": (0.70, 122.21), "cube": (0.075, 129.67), "scanner": (0.80, 204.25), "loopy": (0.95, 116.11)}
_IBORL = {"cup": (0.875, 68.51), "cube": (0.90, 110.55), "scanner": (0.90, 147.19), "loopy": (1.0, 115.55)}
_ABLATED = {"cup": (0.0, None), "cube": (0.0, None), "scanner": (0.0, None), "loopy": (1.0, 101.8)}
_SERL: dict[str, tuple[float, float | None]] = dict.fromkeys(TABLE_1, (0.0, None))

TABLE_2: Mapping[tuple[str, str], PaperResult] = MappingProxyType(
    {
        (task, policy): PaperResult(*result)
        for policy, results in {
            "bc": _BC,
            "rlpd": _SERL,
            "iborl_ablated": _ABLATED,
            "iborl_paper": _IBORL,
            "iborl_policy": _IBORL,
            "iborl": _IBORL,
        }.items()
        for task, result in results.items()
    }
)
"""By task and our name of the policy; the paper's IBORL stands beside all of ours."""
