"""Arm and hand die, fall silent or report errors: a fault that names them, rest, and motion only after re-arming."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from benchmarks.chaos_rig import Rig
from tests.robot.faults.outcome import goes_on, hears, outcome

STALE = 0.5
"""Age at which what a device said is a fault, as the robot's file has it [s]."""


@pytest.mark.slow
def test_devices_that_lose_their_power_are_a_fault_until_they_are_back(rig: Rig) -> None:
    moment = rig.signal("devices", signal.SIGKILL)
    said = hears(rig, "arm", moment, seconds=STALE + 2.0)
    assert "closed the connection" in said or "broke" in said or "no state" in said
    assert rig.service is not None and rig.service.poll() is None, "the service lives on, to say so"
    rig.end("devices")
    rig.start_devices()
    goes_on(rig, time.monotonic())


@pytest.mark.slow
def test_devices_that_stand_still_are_a_fault_that_passes_with_rearming(rig: Rig) -> None:
    moment = rig.signal("devices", signal.SIGSTOP)
    time.sleep(1.2)
    rig.signal("devices", signal.SIGCONT)
    hears(rig, "", moment, seconds=5.0)
    goes_on(rig, time.monotonic())


def test_an_arm_whose_states_are_lost_is_a_fault_and_rests(rig: Rig) -> None:
    moment = time.monotonic()
    rig.ask("arm", loss=1.0)
    outcome(rig, moment, detection=STALE)
    said = hears(rig, "", moment)
    assert "no state for" in said or "from its setpoint" in said, "whichever limit is reached first"
    rig.ask("arm")
    goes_on(rig, time.monotonic())


@pytest.mark.slow
def test_half_of_an_arms_states_are_enough(rig: Rig) -> None:
    moment = time.monotonic()
    rig.ask("arm", loss=0.5)
    time.sleep(2.0)
    rig.ask("arm")
    assert not [note for note in rig.notes("void") if note["t"] > moment]


@pytest.mark.slow
def test_an_arm_whose_connection_is_cut_is_a_fault_and_rearming_makes_it_anew(rig: Rig) -> None:
    moment = time.monotonic()
    rig.arm_relay.cut()
    outcome(rig, moment)
    hears(rig, "arm closed the connection", moment)
    goes_on(rig, time.monotonic())


def hot(rig: Rig) -> Callable[[], object]:
    rig.ask("temperature", finger=2, celsius=70)
    return lambda: rig.ask("temperature", finger=2, celsius=30)


def overloaded(rig: Rig) -> Callable[[], object]:
    rig.ask("arm_error", joint=2, code=0x0040)
    return lambda: rig.ask("arm_error", joint=2, code=0)


def unplugged_hand(rig: Rig) -> Callable[[], object]:
    rig.hand_relay.stalled = True
    return lambda: setattr(rig.hand_relay, "stalled", False)


@pytest.mark.parametrize(
    ("hurt", "why", "detection"),
    [
        (hot, "finger middle has 70 °C", 0.1),
        (overloaded, "joint 3: overcurrent", 0.1),
        pytest.param(unplugged_hand, "hand", STALE + 0.4, marks=pytest.mark.slow),
    ],
)
def test_a_device_with_an_error_rests_until_it_is_gone_and_somebody_has_rearmed(
    rig: Rig, hurt: Callable[[Rig], Callable[[], object]], why: str, detection: float
) -> None:
    moment = time.monotonic()
    mend = hurt(rig)
    outcome(rig, moment, detection)
    hears(rig, why, moment)
    mend()
    goes_on(rig, time.monotonic())


@pytest.mark.slow
def test_a_hand_that_is_stuck_says_so_and_the_robot_rests(rig: Rig) -> None:
    """Its rotors are locked wherever it is told to go next, on the way or at the reset."""
    moment = time.monotonic()
    for finger in range(6):
        rig.ask("jam", finger=finger)
    hears(rig, "locked rotor", moment, seconds=25.0)
    outcome(rig, time.monotonic())
    for finger in range(6):
        rig.ask("jam", finger=finger, jammed=False)
    goes_on(rig, time.monotonic())


def test_a_hands_connection_that_is_cut_is_made_anew_and_costs_nothing(rig: Rig) -> None:
    moment = time.monotonic()
    rig.hand_relay.cut()
    time.sleep(1.0)
    assert not [note for note in rig.notes("void") if note["t"] > moment]
