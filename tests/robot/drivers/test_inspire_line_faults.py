"""What the driver makes of dropped, garbled and late replies, silence, and a wire that is gone."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from tests.robot.drivers.test_inspire_wires import ONES, WIRES, Wire, hand_on, served, until, wire

from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.inspire import registers
from dexloop.robot.drivers.inspire.hand import HandConfig, InspireHand
from dexloop.robot.drivers.inspire.modbus import modbus_tcp
from dexloop.robot.drivers.inspire.serial_line import SerialLine
from dexloop.robot.simulators.inspire.line_faults import LineFault
from dexloop.robot.simulators.inspire.model import HandModel
from dexloop.robot.simulators.inspire.serve_eb90 import serve_eb90
from dexloop.robot.simulators.inspire.serve_tcp import ModbusTcpHand

__all__ = ["served"]

QUICK = HandConfig(timeout=0.15)


def test_one_dropped_reply_is_asked_for_again(served: Wire) -> None:
    with hand_on(served, HandConfig(timeout=0.6)) as hand:
        served.faults.inject(LineFault(drop=True))
        assert hand.state().fault is None


@pytest.mark.parametrize("kind, place", [("eb90", 8), ("eb90", 0), ("eb90", -1), ("rtu", 5), ("rtu", -1), ("tcp", 1)])
def test_one_garbled_reply_is_asked_for_again(kind: str, place: int) -> None:
    with wire(kind) as w, hand_on(w, HandConfig(timeout=0.6)) as hand:
        w.faults.inject(LineFault(garble=place))
        assert hand.state().fingers == pytest.approx(np.zeros(6))
        w.faults.inject(LineFault(garble=place))
        hand.command(ONES, ONES, ONES)
        assert w.model.values(registers.ANGLE_SET) == [0] * 6


@pytest.mark.parametrize("kind", WIRES)
@pytest.mark.parametrize("fault", [LineFault(drop=True), LineFault(garble=1)], ids=["dropped", "garbled"])
def test_two_in_a_row_are_an_error_and_the_next_call_begins_afresh(kind: str, fault: LineFault) -> None:
    with wire(kind) as w, hand_on(w, QUICK) as hand:
        assert until(lambda: answers(hand))
        w.faults.inject(fault, times=2)
        with pytest.raises(DeviceError):
            hand.state()
        assert until(lambda: answers(hand))


def test_a_garbled_frame_is_asked_for_again_at_once() -> None:
    with wire("eb90") as w, hand_on(w, HandConfig(timeout=20.0)) as hand:
        w.faults.inject(LineFault(garble=8))
        start = time.monotonic()
        hand.state()
        assert time.monotonic() - start < 5.0


def test_a_late_reply_is_not_taken_for_the_next_call(served: Wire) -> None:
    with hand_on(served, QUICK) as hand:
        served.faults.inject(LineFault(delay=0.4))
        with pytest.raises(DeviceError):
            hand.state()
        time.sleep(0.5)  # the late one and the one that was asked for again have arrived
        served.model.set_temperature(0, 55)
        assert until(lambda: answers(hand))
        assert hand.state().temperature[0] == 55


def answers(hand: InspireHand) -> bool:
    try:
        hand.state()
    except DeviceError:
        return False
    return True


def test_silence_is_an_error_within_the_timeout(served: Wire) -> None:
    with hand_on(served, QUICK) as hand:
        assert until(lambda: answers(hand))
        served.faults.silent = True
        waits: list[float] = []
        for _ in range(3):
            start = time.monotonic()
            with pytest.raises(DeviceError):
                hand.state()
            waits.append(time.monotonic() - start)
        assert min(waits) < QUICK.timeout + 0.05
        served.faults.silent = False
        assert until(lambda: answers(hand))


def test_a_command_into_silence_is_not_carried_out_afterwards(served: Wire) -> None:
    with hand_on(served, QUICK) as hand:
        served.faults.silent = True
        with pytest.raises(DeviceError):
            hand.command(ONES, ONES, ONES)
        time.sleep(0.1)
        served.faults.silent = False
        time.sleep(0.2)
        assert served.model.values(registers.ANGLE_SET) == [1000] * 6


def test_limits_are_sent_anew_after_a_failure(served: Wire) -> None:
    with hand_on(served, HandConfig(timeout=0.6)) as hand:
        hand.command(ONES, ONES * 0.2, ONES)
        served.faults.inject(LineFault(drop=True), times=2)
        with pytest.raises(DeviceError):
            hand.state()
        served.model.write(registers.SPEED_SET.address, registers.encode(registers.SPEED_SET, [1000] * 6))
        hand.command(ONES, ONES * 0.2, ONES)
        assert served.model.values(registers.SPEED_SET) == [200] * 6


def test_who_finds_the_wire_taken_waits_no_longer_than_the_timeout_and_sends_nothing() -> None:
    with wire("eb90") as w, hand_on(w, QUICK) as hand:
        with hand._lock, pytest.raises(DeviceError, match="busy"):  # as long as another thread's call takes
            hand.command(ONES, ONES, ONES)
        assert w.model.values(registers.ANGLE_SET) == [1000] * 6


def test_calls_from_two_threads_do_not_mix() -> None:
    with wire("eb90") as w, hand_on(w) as hand:
        faults: list[str | None] = []
        reader = threading.Thread(target=lambda: faults.extend(hand.state().fault for _ in range(20)))
        reader.start()
        for i in range(20):
            hand.command(ONES * (i % 2), ONES, ONES)
        reader.join()
        assert faults == [None] * 20


def test_a_serial_adapter_that_is_pulled_out_is_an_error() -> None:
    server = serve_eb90(HandModel())
    hand = InspireHand(SerialLine(server.path), config=QUICK)
    server.close()
    with pytest.raises(DeviceError):
        hand.state()
    hand.close()


def test_a_cut_connection_is_an_error_and_made_anew_when_the_hand_is_back() -> None:
    server = ModbusTcpHand(HandModel())
    hand = InspireHand(modbus_tcp(server.host, server.port), config=QUICK)
    assert until(lambda: answers(hand))
    server.close()
    with pytest.raises(DeviceError):
        hand.state()
    with ModbusTcpHand(HandModel(), port=server.port):
        assert until(lambda: answers(hand))
        hand.close()
