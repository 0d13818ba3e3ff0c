"""What a fault led to, in numbers, and what no fault may ever lead to."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.chaos_judge import actions_begun, setpoints_beyond
from benchmarks.chaos_rig import Rig, distance, resting_since

from dexloop.robot.simulators.journal import MEASURED

WATCHDOG, BRAKING = 0.2, 0.3
"""Two control periods of 0.1 s, and how long a joint takes from its highest speed to rest [s]."""
ROOM = 0.7
"""For a machine that is busy with other things; alone it takes a tenth of that [s]."""
FARTHEST = 0.25
"""As far as the end effector may go in half a second at its highest speed, 0.5 m/s [m]."""
GRACE = 0.02
"""Between the controller's decision and the note of it, a tick [s]."""


@dataclass(frozen=True)
class Outcome:
    """hold: time from the fault to rest [s]. metres: how far the end effector went in it."""

    hold: float
    metres: float


def outcome(rig: Rig, moment: float, detection: float = 0.0) -> Outcome:
    """Wait for the robot to rest after a fault at ``moment`` [s]; ``detection``: how long nobody can know of it [s]."""
    bound = detection + WATCHDOG + BRAKING + ROOM
    end: float | None = None
    while end is None:
        assert time.monotonic() < moment + bound + 1.0, f"no rest within {bound:.1f} s"
        time.sleep(0.05)
        measured = rig.rows("devices", MEASURED)
        end = resting_since(measured, moment)
    came = Outcome(end - moment, distance(measured, moment, end))
    print(f"hold after {1e3 * came.hold:.0f} ms and {1e3 * came.metres:.0f} mm")
    assert came.hold < bound
    assert came.metres < FARTHEST + 0.5 * detection
    return came


def check_journals(rig: Rig) -> None:
    """No setpoint of any service beyond a limit, and no action after it had expired."""
    for journal in rig.journals("service"):
        assert setpoints_beyond(journal, rig.file)[1] == {}
        assert actions_begun(journal, GRACE)[1] == 0


def hears(rig: Rig, why: str, moment: float, seconds: float = 10.0) -> str:
    """Wait until whoever controls the robot has been told ``why`` since ``moment`` [s]; all that was said."""
    until, said = time.monotonic() + seconds, ""
    while not said or why not in said:
        assert time.monotonic() < until, f"{why!r} is not said within {seconds:g} s, but: {said!r}"
        time.sleep(0.01)
        said = " | ".join(str(note["what"]) for note in rig.notes("trouble") if note["t"] >= moment)
    return said


def goes_on(rig: Rig, moment: float, seconds: float = 30.0) -> float:
    """Wait until another episode has started since ``moment`` [s] and the robot moves in it; after how long [s]."""
    rig.wait(lambda: any(note["t"] > moment for note in rig.notes("start")), seconds, "another episode starts")
    return rig.wait_for_motion(seconds) - moment
