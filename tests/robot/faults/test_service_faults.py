"""The controller's own process dies or stands still: the arm keeps its last target, and nothing jumps afterwards."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
from benchmarks.chaos_rig import Rig
from tests.robot.faults.outcome import goes_on, hears, outcome

from dexloop.robot.simulators.journal import SETPOINT

TICK = 0.02
ARM_LAG = 0.2
"""In which the simulated arm comes to where its last target is [s]."""


@pytest.mark.slow
def test_a_killed_service_leaves_the_arm_at_its_last_target_and_its_successor_is_found(rig: Rig) -> None:
    moment = rig.signal("service", signal.SIGKILL)
    came = outcome(rig, moment)
    assert came.hold < ARM_LAG + 0.5, "nobody brakes; there is nothing to follow any more"
    hears(rig, "connection to the robot lost", moment, seconds=6.0)
    rig.end("service")
    rig.start_service()
    goes_on(rig, time.monotonic())


@pytest.mark.parametrize(("seconds", "faulty"), [(0.6, False), pytest.param(1.6, True, marks=pytest.mark.slow)])
def test_a_service_that_stands_still_goes_on_without_a_jump(rig: Rig, seconds: float, faulty: bool) -> None:
    """Longer than a tick may be late (1 s here) it is a fault; what was due meanwhile is left out, not made up for."""
    moment = rig.signal("service", signal.SIGSTOP)
    outcome(rig, moment)
    time.sleep(max(0.0, moment + seconds - time.monotonic()))
    path = rig.rows("service", SETPOINT)
    assert path[-1, 0] < moment + 0.1
    before, last = len(path), path[-1, 1:7]
    rig.signal("service", signal.SIGCONT)
    if faulty:
        said = hears(rig, "", moment)
        told = ("late", "expired", "no state for")
        assert any(reason in said for reason in told), "whichever is told first ends the episode"
    rig.wait_for_motion()
    after = rig.rows("service", SETPOINT)[before, 1:7]
    assert np.abs(after - last).max() <= rig.file.safety.joint_speed * TICK
