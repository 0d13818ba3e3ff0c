"""What must never happen, counted in the journals that services leave, whatever happened to them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexloop.robot.plant import tick_for
from dexloop.robot.robot_file import RobotFile
from dexloop.robot.simulators.journal import BEGUN, REARMED, SETPOINT, read_journal
from dexloop.sim.hand import EE_IN_HAND, FLANGE_TO_HAND
from dexloop.sim.kinematics import ArmKinematics, pose

ROUNDING = 1e-6
BOX = 0.001
"""Less than a millimetre outside the workspace is the inverse kinematics' fraction [m]."""


def actions_begun(journal: Path, grace: float) -> tuple[int, int]:
    """How many actions began, and how many of them more than ``grace`` [s] after they had expired.

    grace: between the controller's decision and the note of it; a busy machine may let a process wait there.
    """
    rows = read_journal(journal)
    begun = rows[rows[:, 1] == BEGUN]
    return len(begun), int((begun[:, 0] > begun[:, 2] + grace).sum())


def setpoints_beyond(journal: Path, file: RobotFile) -> tuple[int, int]:
    """How many setpoints there were, and how many of them beyond a limit: position, speed or acceleration of a joint or
    finger, the workspace's box, or the speed of the end effector."""
    tick = tick_for(file.control.hz, file.arm.period)
    joints, fingers = file.safety.joints(), file.safety.fingers()
    low, high, speed, acceleration = (
        np.concatenate([getattr(joints, name), getattr(fingers, name)])
        for name in ("low", "high", "speed", "acceleration")
    )
    tool = pose(FLANGE_TO_HAND @ EE_IN_HAND, FLANGE_TO_HAND)
    kinematics = ArmKinematics(file.arm.mounting.transform(), tool)
    count = beyond = 0
    for path in _paths(journal):
        # A path begins at rest.
        speeds = np.diff(path, axis=0, prepend=path[:1]) / tick
        changes = np.diff(speeds, axis=0, prepend=np.zeros((1, 12))) / tick
        places = np.array([kinematics.forward(q)[:3, 3] for q in path[:, :6]])
        hasty = np.linalg.norm(np.diff(places, axis=0, prepend=places[:1]), axis=1) / tick
        outside = np.maximum(np.array(file.safety.workspace_low) - places, places - file.safety.workspace_high).max(1)
        bad = (
            (path < low - ROUNDING) | (path > high + ROUNDING)
            | (np.abs(speeds) > speed + ROUNDING) | (np.abs(changes) > acceleration + ROUNDING / tick)
        ).any(axis=1)  # fmt: skip
        # Who begins outside may come back.
        bad |= outside > max(BOX, float(outside[0]) + ROUNDING)
        bad |= hasty > file.safety.point_speed + ROUNDING
        count, beyond = count + len(path), beyond + int(bad.sum())
    return count, beyond


def _paths(journal: Path) -> Iterator[NDArray[np.float64]]:
    """Setpoints (N, 12) without a break: after ``rearm`` they go on from where the robot was found."""
    rows = read_journal(journal)
    rows = rows[(rows[:, 1] == SETPOINT) | (rows[:, 1] == REARMED)]
    marks = [0, *np.flatnonzero(rows[:, 1] == REARMED).tolist(), len(rows)]
    # Somewhere between two marks it happened; the robot rests there.
    for i, (start, end) in enumerate(itertools.pairwise(marks)):
        part = rows[start:end]
        part = part[part[:, 1] == SETPOINT, 2:]
        if i % 2 == 0 and len(part):
            yield part
