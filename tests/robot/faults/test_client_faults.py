"""Whoever controls the robot dies, stops, or loses the network: the robot rests, and nothing late is done."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
from benchmarks.chaos_rig import Rig, distance, path_length, resting_since
from tests.robot.faults.outcome import BRAKING, GRACE, ROOM, goes_on, hears, outcome

from dexloop.errors import DexloopError
from dexloop.robot.client import GrpcEnv
from dexloop.robot.simulators.journal import BEGUN, MEASURED

KEEPALIVE = 1.5
"""A silent client's connection is asked every 0.5 s and given up 1 s later [s]."""


def on_the_way_home(rig: Rig) -> bool:
    """Whether a reset has been under way for a while and the hand moves."""
    notes, rows = rig.notes(), rig.rows("devices", MEASURED)[-20:]
    resets = bool(notes) and notes[-1]["kind"] == "begin" and time.monotonic() > notes[-1]["t"] + 0.3
    return resets and len(rows) == 20 and path_length(rows) > 0.08 * (rows[-1, 0] - rows[0, 0])


def lease_is_free(rig: Rig, seconds: float) -> bool:
    """Whether another client, past the relay, is given control within this time [s]."""
    host, port = rig.client_relay.target
    other, asked = GrpcEnv(f"{host}:{port}"), time.monotonic()
    try:
        while time.monotonic() < asked + seconds:
            try:
                other.reset(seed=0)
            except DexloopError as error:
                assert "another client controls" in str(error)
                time.sleep(0.1)
            else:
                print(f"another client has the robot after {time.monotonic() - asked:.1f} s")
                return True
    finally:
        other.close()
    return False


def test_a_killed_client_leaves_a_resting_robot_and_every_finished_episode(rig: Rig) -> None:
    finished = len(rig.notes("finished"))
    moment = rig.signal("worker", signal.SIGKILL)
    outcome(rig, moment)
    rig.end("worker")
    rig.start_worker(seed=1000)
    print(f"goes on after {goes_on(rig, moment):.1f} s")
    assert len(rig.notes("finished")) >= finished, "what was told once is never untold"


def test_a_client_that_stands_still_leaves_a_resting_robot_and_its_late_action_is_refused(rig: Rig) -> None:
    moment = rig.signal("worker", signal.SIGSTOP)
    outcome(rig, moment)
    time.sleep(0.5)
    rig.signal("worker", signal.SIGCONT)
    rig.wait_for_motion()


def test_a_cut_connection_ends_in_rest_and_is_made_anew(rig: Rig) -> None:
    moment = time.monotonic()
    rig.client_relay.cut()
    outcome(rig, moment)
    hears(rig, "connection to the robot lost", moment, seconds=2.0)
    goes_on(rig, time.monotonic())


@pytest.mark.slow
def test_a_cable_that_is_pulled_out_ends_in_rest_and_the_client_notices(rig: Rig) -> None:
    moment = time.monotonic()
    rig.client_relay.stalled = True
    outcome(rig, moment)
    hears(rig, "no answer within 5 s", moment)
    rig.client_relay.stalled = False
    goes_on(rig, time.monotonic())


@pytest.mark.slow
def test_the_lease_of_a_client_that_says_nothing_is_free_within_seconds(rig: Rig) -> None:
    rig.signal("worker", signal.SIGSTOP)
    try:
        assert lease_is_free(rig, KEEPALIVE + 2.0)
    finally:
        moment = rig.signal("worker", signal.SIGCONT)
    goes_on(rig, moment)


@pytest.mark.slow
def test_a_client_that_falls_silent_during_a_reset_does_not_have_the_robot_go_home(rig: Rig) -> None:
    """No actions are due on the way home, so that only the end of the lease stops it."""
    rig.wait(lambda: on_the_way_home(rig), 60.0, "a reset leads the robot home")
    moment = rig.signal("worker", signal.SIGSTOP)
    bound = KEEPALIVE + BRAKING + ROOM
    try:
        time.sleep(bound + 1.0)
        measured = rig.rows("devices", MEASURED)
        after = measured[measured[:, 0] > moment + bound]
        assert np.ptp(after[:, 1:7], axis=0).max() < 0.005, "it rests by then, and stays there"
        end = resting_since(measured, moment + 0.1)
        assert end is not None and distance(measured, moment, end) < 0.5 * (KEEPALIVE + BRAKING)
        print(f"hold after {end - moment:.2f} s and {1e3 * distance(measured, moment, end):.0f} mm")
    finally:
        moment = rig.signal("worker", signal.SIGCONT)
    goes_on(rig, moment)


def test_actions_that_the_network_delays_beyond_their_validity_are_never_executed(rig: Rig) -> None:
    moment = time.monotonic()
    rig.client_relay.delay = 0.3  # there and back well below the second after which the service gives a silent peer up
    outcome(rig, moment)
    hears(rig, "action refused: expired", moment)
    rig.client_relay.delay = 0.0
    begun = rig.rows("service", BEGUN)
    assert ((begun[:, 0] <= moment + 0.3) | (begun[:, 0] <= begun[:, 1] + GRACE)).all()
    goes_on(rig, time.monotonic())


@pytest.mark.slow
def test_a_network_that_wavers_costs_speed_and_executes_nothing_late(rig: Rig) -> None:
    rig.client_relay.delay, rig.client_relay.jitter = 0.02, 0.2
    time.sleep(3.0)
    rig.client_relay.delay = rig.client_relay.jitter = 0.0
    begun = rig.rows("service", BEGUN)
    assert len(begun) > 10
    assert (begun[:, 0] <= begun[:, 1] + GRACE).all()
