"""The driver and the simulated hand, over each of the three wires."""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from tests.robot.drivers.test_inspire_frames import (
    CLEAR_ERROR,
    READ_ANGLES,
    SET_ANGLES,
    SET_ANGLES_REPLY,
)

from dexloop.robot.devices import DeviceError, Hand
from dexloop.robot.drivers.inspire import registers
from dexloop.robot.drivers.inspire.calibration import Calibration
from dexloop.robot.drivers.inspire.hand import ONE_BY_ONE, HandConfig, InspireHand
from dexloop.robot.drivers.inspire.modbus import modbus_rtu, modbus_tcp
from dexloop.robot.drivers.inspire.serial_line import SerialLine
from dexloop.robot.drivers.inspire.transport import Transport
from dexloop.robot.simulators.inspire.line_faults import LineFaults
from dexloop.robot.simulators.inspire.model import HandModel
from dexloop.robot.simulators.inspire.pty_server import LineTiming
from dexloop.robot.simulators.inspire.serve_eb90 import serve_eb90
from dexloop.robot.simulators.inspire.serve_rtu import serve_rtu
from dexloop.robot.simulators.inspire.serve_tcp import ModbusTcpHand

WIRES = ("eb90", "rtu", "tcp")
PATIENT = HandConfig(timeout=2.0)
"""A timeout that no busy machine exceeds."""
ONES = np.ones(6)


@dataclass
class Wire:
    """A simulated hand, and how to connect to it."""

    model: HandModel
    faults: LineFaults
    connect: Callable[[], Transport]


@contextmanager
def wire(kind: str, model: HandModel | None = None, timing: LineTiming | None = None) -> Iterator[Wire]:
    """A hand that is served until the block ends."""
    model, faults = model or HandModel(), LineFaults()
    if kind == "tcp":
        with ModbusTcpHand(model, faults) as tcp:
            yield Wire(model, faults, lambda: modbus_tcp(tcp.host, tcp.port))
    elif kind == "rtu":
        with serve_rtu(model, faults, timing) as server:
            yield Wire(model, faults, lambda: modbus_rtu(server.path))
    else:
        with serve_eb90(model, faults, timing) as server:
            yield Wire(model, faults, lambda: SerialLine(server.path))


@contextmanager
def hand_on(w: Wire, config: HandConfig = PATIENT, calibration: Calibration | None = None) -> Iterator[InspireHand]:
    """The driver of a served hand."""
    hand = InspireHand(w.connect(), calibration, config)
    try:
        yield hand
    finally:
        hand.close()


@pytest.fixture(params=WIRES)
def served(request: pytest.FixtureRequest) -> Iterator[Wire]:
    with wire(request.param) as w:
        yield w


def soon() -> float:
    return time.monotonic() + 2.0


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_every_register_that_can_be_written_is_read_back_the_same(served: Wire) -> None:
    transport = served.connect()
    for register in (registers.ANGLE_SET, registers.FORCE_SET, registers.SPEED_SET):
        values = [0, 1000, 500, 1, 999, 256]
        transport.write(register.address, registers.encode(register, values), soon())
        read = transport.read(register.address, register.size, soon())
        assert list(registers.decode(register, read)) == values == served.model.values(register)
    transport.close()


def test_adjacent_registers_come_in_one_read(served: Wire) -> None:
    for finger in range(6):
        served.model.set_error(finger, 1 << finger % 5)
        served.model.set_temperature(finger, 31 + finger)
    transport = served.connect()
    data = transport.read(1582, 42, soon())
    assert data[24:30] == bytes([1, 2, 4, 8, 16, 1])
    assert data[36:42] == bytes([31, 32, 33, 34, 35, 36])
    assert transport.read(1000, 1, soon()) == b"\x01"
    transport.close()


def test_state_of_a_hand_that_rests_open(served: Wire) -> None:
    with hand_on(served) as hand:
        before = time.monotonic()
        state = hand.state()
        assert state.fingers == pytest.approx(np.zeros(6))
        assert state.force == pytest.approx(np.zeros(6))
        assert state.temperature == pytest.approx([30] * 6)
        assert before <= state.seconds <= time.monotonic()
        assert state.fault is None
        assert hand.reading().status == ("position reached",) * 6


def test_a_command_is_followed_within_the_calibration(served: Wire) -> None:
    calibration = Calibration(open=(1000, 1000, 1000, 1000, 900, 800), closed=(0, 0, 0, 100, 200, 300))
    wanted = np.array([0.0, 1.0, 0.5, 1.0, 0.5, 0.25])
    with hand_on(served, calibration=calibration) as hand:
        hand.command(wanted, ONES, ONES * 2.0)
        assert served.model.values(registers.ANGLE_SET) == [1000, 0, 500, 100, 550, 675]
        assert served.model.values(registers.SPEED_SET) == [1000] * 6
        assert served.model.values(registers.FORCE_SET) == [203] * 6
        assert until(lambda: np.abs(hand.state().fingers - wanted).max() < 0.003)


def test_minus_one_leaves_a_finger_where_it_is_going(served: Wire) -> None:
    with hand_on(served) as hand:
        hand.command(ONES * 0.3, ONES, ONES)
        hand.command(np.array([-1.0, 0.6, -1.0, 0.0, 1.0, -1.0]), ONES, ONES)
        assert served.model.values(registers.ANGLE_SET) == [700, 400, 700, 1000, 0, 700]


def test_errors_are_told_in_words_and_cleared_only_when_asked(served: Wire) -> None:
    served.model.set_error(3, 0b00101)
    served.model.set_error(4, 0b10010)
    served.model.set_error(0, 0b01000)
    with hand_on(served) as hand:
        told = "little: motor abnormal; index: locked rotor, over current; thumb_bend: over temperature, communication"
        assert hand.state().fault == told
        hand.command(ONES * 0.5, ONES, ONES)
        assert hand.state().fault == told
        hand.clear_fault()
        assert hand.state().fault is None


def test_what_the_hand_refuses_is_an_error_and_no_silence(served: Wire) -> None:
    transport = served.connect()
    with pytest.raises(DeviceError):
        transport.read(1558, 12, time.monotonic() + 0.3)
    with pytest.raises(DeviceError):
        transport.write(registers.ANGLE_ACT.address, bytes(12), time.monotonic() + 0.3)
    assert len(transport.read(1546, 12, soon())) == 12
    transport.close()


def test_registers_can_be_read_one_by_one_for_hands_that_refuse_more(served: Wire) -> None:
    served.model.set_temperature(5, 47)
    with hand_on(served, HandConfig(timeout=2.0, blocks=ONE_BY_ONE)) as hand:
        assert list(hand.state().temperature) == [30, 30, 30, 30, 30, 47]


def test_closing_twice_is_closing_once(served: Wire) -> None:
    hand: Hand = InspireHand(served.connect(), config=PATIENT)
    hand.close()
    hand.close()
    with pytest.raises(DeviceError, match="closed"):
        hand.state()
    with hand_on(served) as again:
        assert again.state().fault is None


@pytest.mark.parametrize("kind", ["eb90", "rtu"])
def test_a_cycle_at_the_speed_of_the_wire(kind: str) -> None:
    """Two reads and a write of 145 or 133 bytes, with 3.5 ms to think for each, cannot be faster than 20 ms."""
    with wire(kind, timing=LineTiming()) as w, hand_on(w) as hand:
        hand.command(ONES, ONES, ONES)
        cycles: list[float] = []
        for i in range(25):
            start = time.perf_counter()
            state = hand.state()
            hand.command(ONES * (i % 2), ONES, ONES)
            cycles.append(time.perf_counter() - start)
        assert state.fault is None
        assert min(cycles) >= 0.020
        assert min(cycles) < 0.060, "the driver itself takes longer than the wire"


def test_the_simulated_serial_port_speaks_eb90_byte_for_byte() -> None:
    with serve_eb90(HandModel()) as server:
        port = os.open(server.path, os.O_RDWR | os.O_NOCTTY)
        try:
            assert asked(port, READ_ANGLES) == bytes.fromhex("90 EB 01 0F 11 0A 06" + "E8 03" * 6 + "B3")
            assert asked(port, SET_ANGLES) == SET_ANGLES_REPLY
            assert asked(port, CLEAR_ERROR) == bytes.fromhex("90 EB 01 04 12 EC 03 01 07")
            assert asked(port, READ_ANGLES[:-1] + b"\x33", 0.2) == b"", "a wrong sum gets no reply"
            assert asked(port, bytes.fromhex("EB 90 02 04 11 0A 06 0C 33"), 0.2) == b"", "nor does another hand's"
        finally:
            os.close(port)


def test_the_simulated_serial_port_speaks_modbus_rtu_byte_for_byte() -> None:
    with serve_rtu(HandModel()) as server:
        port = os.open(server.path, os.O_RDWR | os.O_NOCTTY)
        try:
            angles = asked(port, bytes.fromhex("01 03 06 0A 00 06 E5 42"))
            assert angles == bytes.fromhex("01 03 0C" + "03 E8" * 6 + "7C 2D")
            clear = bytes.fromhex("01 06 03 EC 00 01 89 BB")
            assert asked(port, clear) == clear
            wanted = bytes.fromhex("01 10 05 CE 00 06 0C 03 E8 00 00 01 F4 FF FF 00 0A 00 64 E1 E4")
            assert asked(port, wanted) == bytes.fromhex("01 10 05 CE 00 06 21 38")
            assert asked(port, bytes.fromhex("01 03 06 0A 00 06 E5 43"), 0.2) == b"", "a wrong CRC gets no reply"
        finally:
            os.close(port)


def test_the_simulated_hand_speaks_modbus_tcp_byte_for_byte() -> None:
    with ModbusTcpHand(HandModel()) as server, socket.create_connection((server.host, server.port), 5.0) as line:
        line.sendall(bytes.fromhex("00 2A 00 00 00 06 01 03 06 0A 00 06"))
        assert line.recv(100) == bytes.fromhex("00 2A 00 00 00 0F 01 03 0C" + "03 E8" * 6)
        line.sendall(bytes.fromhex("00 2B 00 00 00 06 01 06 03 EC 00 01"))
        assert line.recv(100) == bytes.fromhex("00 2B 00 00 00 06 01 06 03 EC 00 01")
        line.sendall(bytes.fromhex("00 2C 00 00 00 06 01 03 06 16 00 06"))
        assert line.recv(100) == bytes.fromhex("00 2C 00 00 00 03 01 83 02"), "there is nothing at 1558"


def asked(port: int, request: bytes, seconds: float = 2.0) -> bytes:
    """What comes back within ``seconds``, or as soon as the line falls silent."""
    os.write(port, request)
    reply = b""
    while select.select([port], [], [], 0.05 if reply else seconds)[0]:
        reply += os.read(port, 256)
    return reply


@pytest.mark.parametrize(
    "missing, connect",
    [
        ("serial", lambda: SerialLine("/dev/null")),
        ("pymodbus.client", lambda: modbus_rtu("/dev/null")),
        ("pymodbus.client", lambda: modbus_tcp("127.0.0.1", 9)),
        ("pymodbus.server", lambda: ModbusTcpHand(HandModel())),
        ("pymodbus.framer", lambda: serve_rtu(HandModel())),
    ],
)
def test_a_missing_library_is_named_with_its_cure(
    missing: str, connect: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(DeviceError, match=r"pip install 'dexloop\[hardware\]'"):
        connect()


def test_what_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DeviceError, match=f"127.0.0.1:{port}"):
            ModbusTcpHand(HandModel(), port=port)
    with pytest.raises(DeviceError, match=f"127.0.0.1:{port}"):
        modbus_tcp("127.0.0.1", port)
    for connect in (SerialLine, modbus_rtu):
        with pytest.raises(DeviceError, match="/dev/no-such-hand"):
            connect("/dev/no-such-hand")
