"""A cell: one policy on one task with one run seed, and everything that decides its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from dexloop.config import RunConfig
from dexloop.seeds import Purpose


@dataclass(frozen=True, slots=True)
class Cell:
    """policy: its name in tables; bc and act are made from the demonstrations alone, any other learns online.

    base: name of the run with demonstrations, clone, rollouts and classifier, which other cells may share. config: of
    the cell's own run. purpose: of the seeds of its trials. milestones: robot minutes after which the policy is tried
    as well, beside the end [min]. trained: another cell, whose final policy is tried here under another configuration
    of the simulation; it is trained first where it has not been.
    """

    policy: str
    base: str
    config: RunConfig
    purpose: Purpose = Purpose.TEST
    milestones: tuple[float, ...] = ()
    trained: Cell | None = None

    @property
    def name(self) -> str:
        """The name of its file, without the ending."""
        return f"{self.config.task}-{self.policy}-{self.config.seed}"

    @property
    def learns_online(self) -> bool:
        """Whether it learns on the robot, which takes robot time."""
        return self.policy not in ("bc", "act")
