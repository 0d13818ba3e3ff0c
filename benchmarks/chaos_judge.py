"""What must never happen, counted in the journals that services leave, whatever happened to them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.oracle import LIMITS, Oracle
from numpy.typing import NDArray

from dexloop.robot.plant import Setpoint, tick_for
from dexloop.robot.robot_file import RobotFile
from dexloop.robot.simulators.journal import BEGUN, HOMING, REARMED, SETPOINT, STARTED, read_journal
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


def setpoints_beyond(journal: Path, file: RobotFile) -> tuple[int, Counter[str]]:
    """How many setpoints there were, and of each limit how many that were beyond it.

    Limits: position, speed and acceleration of a joint or finger, the workspace's box always, and what the oracle knows
    by the physics engine's own shapes: places in episodes (workspace, cone, singularity), clearance and the speed of
    any point always. No journal tells what fingers feel, so that points may be as fast as where nothing is touched.
    """
    tick = tick_for(file.control.hz, file.arm.period)
    count, beyond = 0, Counter[str]()
    for path in _paths(journal):
        count += len(path.setpoints)
        for found in (_in_motion(path.setpoints, file, tick), _in_place(path, file, tick)):
            beyond.update({name: rows for name, rows in found.items() if rows})
    return count, beyond


def _in_motion(path: NDArray[np.float64], file: RobotFile, tick: float) -> dict[str, int]:
    joints, fingers = file.safety.joints(), file.safety.fingers()
    low, high, speed, acceleration = (
        np.concatenate([getattr(joints, name), getattr(fingers, name)])
        for name in ("low", "high", "speed", "acceleration")
    )
    tool = pose(FLANGE_TO_HAND @ EE_IN_HAND, FLANGE_TO_HAND)
    kinematics = ArmKinematics(file.arm.mounting.transform(), tool)
    # A path begins at rest.
    speeds = np.diff(path, axis=0, prepend=path[:1]) / tick
    changes = np.diff(speeds, axis=0, prepend=np.zeros((1, 12))) / tick
    places = np.array([kinematics.forward(q)[:3, 3] for q in path[:, :6]])
    outside = np.maximum(np.array(file.safety.workspace_low) - places, places - file.safety.workspace_high).max(1)
    over = {
        "position": ((path < low - ROUNDING) | (path > high + ROUNDING)).any(axis=1),
        "speed": (np.abs(speeds) > speed + ROUNDING).any(axis=1),
        "acceleration": (np.abs(changes) > acceleration + ROUNDING / tick).any(axis=1),
        # Who begins outside may come back.
        "workspace": outside > max(BOX, float(outside[0]) + ROUNDING),
    }
    return {name: int(rows.sum()) for name, rows in over.items()}


def _in_place(path: _Path, file: RobotFile, tick: float) -> dict[str, int]:
    over = Counter[str]()
    for homing, part in path.parts():
        setpoints = [Setpoint(row[:6], row[6:]) for row in part]
        oracle = Oracle(setpoints[0], file.safety)
        placed, beyond = oracle.over(setpoints, homing=homing, moved=homing)
        over.update({name: int(rows) for name, rows in zip(LIMITS, (beyond > 0.0).sum(axis=0), strict=True)})
        fast = oracle.shapes.carried(placed) / tick > oracle.point_speeds(placed, touching=False) + ROUNDING
        over["speed of a point"] += int(fast.sum())
    return over


@dataclass(frozen=True, slots=True)
class _Path:
    """Setpoints (N, 12) without a break, and at which of them something else begins: whether it is a way home."""

    setpoints: NDArray[np.float64]
    begins: tuple[tuple[int, bool], ...]

    def parts(self) -> Iterator[tuple[bool, NDArray[np.float64]]]:
        """Ways home and episodes, each from the setpoint at which it begins; where it rests that long, only once.

        Until the first episode the robot may be anywhere, as on the way home.
        """
        begins = [(0, True), *self.begins]
        for (start, homing), (end, _) in itertools.pairwise([*begins, (len(self.setpoints), True)]):
            part = self.setpoints[max(start - 1, 0) : end]
            moves = np.any(np.diff(part, axis=0) != 0.0, axis=1)
            if len(part):
                yield homing, part[np.concatenate([[True], moves])]


def _paths(journal: Path) -> Iterator[_Path]:
    """After ``rearm`` setpoints go on from where the robot was found."""
    rows = read_journal(journal)
    rows = rows[np.isin(rows[:, 1], (SETPOINT, REARMED, HOMING, STARTED))]
    marks = [0, *np.flatnonzero(rows[:, 1] == REARMED).tolist(), len(rows)]
    # Somewhere between two marks it happened; the robot rests there.
    for i, (start, end) in enumerate(itertools.pairwise(marks)):
        part = rows[start:end]
        told = part[:, 1] == SETPOINT
        if i % 2 == 0 and told.any():
            before = np.cumsum(told)
            begins = np.flatnonzero(np.isin(part[:, 1], (HOMING, STARTED)))
            yield _Path(part[told, 2:], tuple((int(before[k]), bool(part[k, 1] == HOMING)) for k in begins))
