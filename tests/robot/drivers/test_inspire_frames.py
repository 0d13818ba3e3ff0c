"""Bytes worked out by hand from the description of the protocols."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.inspire import eb90, registers
from dexloop.robot.drivers.inspire.eb90 import READ, REPLY_HEADER, WRITE, Frame, Parser

READ_ANGLES = bytes.fromhex("EB 90 01 04 11 0A 06 0C 32")
READ_ANGLES_REPLY = bytes.fromhex("90 EB 01 0F 11 0A 06 E8 03 00 00 F4 01 01 00 00 02 64 00 78")
SET_ANGLES = bytes.fromhex("EB 90 01 0F 12 CE 05 E8 03 E8 03 E8 03 E8 03 E8 03 FF FF 8A")
SET_ANGLES_REPLY = bytes.fromhex("90 EB 01 04 12 CE 05 01 EB")
CLEAR_ERROR = bytes.fromhex("EB 90 01 04 12 EC 03 01 07")


def test_request_for_the_six_angles() -> None:
    angle = registers.ANGLE_ACT
    assert eb90.read_request(1, angle.address, angle.size) == READ_ANGLES


def test_request_to_open_five_fingers_and_leave_the_sixth() -> None:
    data = registers.encode(registers.ANGLE_SET, [1000, 1000, 1000, 1000, 1000, -1])
    assert eb90.write_request(1, registers.ANGLE_SET.address, data) == SET_ANGLES


def test_request_to_clear_errors() -> None:
    assert eb90.write_request(1, 1004, registers.encode(registers.CLEAR_ERROR, [1])) == CLEAR_ERROR


def test_reply_with_six_angles() -> None:
    (frame,) = Parser(REPLY_HEADER).feed(READ_ANGLES_REPLY)
    assert (frame.device, frame.command, frame.address) == (1, READ, 1546)
    assert registers.decode(registers.ANGLE_ACT, frame.payload) == (1000, 0, 500, 1, 512, 100)


def test_negative_forces_are_little_endian_twos_complement() -> None:
    assert registers.decode(registers.FORCE_ACT, bytes.fromhex("FF FF 2C 01 00 00 60 F0 A0 0F 00 00")) == (
        -1, 300, 0, -4000, 4000, 0,
    )  # fmt: skip


def test_reply_in_single_bytes_is_found_once_it_is_whole() -> None:
    parser = Parser(REPLY_HEADER)
    found = [list(parser.feed(READ_ANGLES_REPLY[i : i + 1])) for i in range(len(READ_ANGLES_REPLY))]
    assert [len(f) for f in found] == [0] * (len(READ_ANGLES_REPLY) - 1) + [1]
    assert parser.garbled == 0


def test_an_echo_of_the_request_is_no_reply() -> None:
    frames = list(Parser(REPLY_HEADER).feed(SET_ANGLES + SET_ANGLES_REPLY))
    assert frames == [Frame(1, WRITE, 1486, b"\x01")]


def test_a_whole_frame_after_a_garbled_one_is_found() -> None:
    garbled = READ_ANGLES_REPLY[:9] + b"\x55" + READ_ANGLES_REPLY[10:]
    parser = Parser(REPLY_HEADER)
    assert len(list(parser.feed(garbled + READ_ANGLES_REPLY))) == 1
    assert parser.garbled == 1


@given(st.integers(0, len(READ_ANGLES_REPLY) - 1), st.integers(1, 255))
def test_no_reply_with_one_wrong_byte_passes(place: int, change: int) -> None:
    damaged = bytearray(READ_ANGLES_REPLY)
    damaged[place] ^= change
    assert list(Parser(REPLY_HEADER).feed(bytes(damaged))) == []


@given(st.integers(1, 254), st.integers(0, 0xFFFF), st.binary(max_size=100), st.binary(max_size=20))
def test_frames_survive_the_way_and_noise_before_them(device: int, address: int, data: bytes, noise: bytes) -> None:
    frame = Frame(device, READ, address, data)
    quiet = noise.replace(b"\x90", b"")
    assert list(Parser(REPLY_HEADER).feed(quiet + eb90.encode(REPLY_HEADER, frame))) == [frame]


def test_numbers_travel_over_modbus_as_they_are_and_bytes_in_pairs_with_the_first_on_top() -> None:
    assert registers.words_of(1546, bytes.fromhex("E8 03 F4 01")) == [1000, 500]
    assert registers.words_of(1606, bytes([1, 2, 3, 4, 5, 6])) == [0x0102, 0x0304, 0x0506]
    assert registers.words_of(1004, b"\x01") == [1]
    assert registers.words_of(1594, bytes(10) + bytes.fromhex("E8 03 01 02")) == [0, 0, 0, 0, 0, 1000, 0x0102]


@pytest.mark.parametrize("address, size", [(1004, 1), (1486, 12), (1546, 12), (1582, 42)])
def test_bytes_survive_the_way_through_modbus_words(address: int, size: int) -> None:
    data = bytes(range(1, size + 1))
    words = registers.words_of(address, data)
    assert len(words) == registers.word_count(address, size)
    assert registers.byte_count(address, len(words)) == size
    assert registers.bytes_of(address, words) == data


def test_registers_do_not_overlap_and_state_blocks_have_no_gaps() -> None:
    ordered = sorted(registers.REGISTERS, key=lambda r: r.address)
    assert all(a.end <= b.address for a, b in itertools.pairwise(ordered))
    assert registers.FORCE_ACT.end == registers.CURRENT.address
    assert registers.CURRENT.end == registers.ERROR.address
    assert registers.ERROR.end == registers.STATUS.address
    assert registers.STATUS.end == registers.TEMPERATURE.address


@pytest.mark.parametrize("values", [[1001] * 6, [-2] * 6, [0] * 5])
def test_angles_out_of_range_are_not_encoded(values: list[int]) -> None:
    with pytest.raises(DeviceError, match="ANGLE_SET"):
        registers.encode(registers.ANGLE_SET, values)


def test_registers_that_only_report_are_not_written() -> None:
    with pytest.raises(DeviceError, match="ANGLE_ACT cannot be written"):
        registers.encode(registers.ANGLE_ACT, [0] * 6)


def test_minus_one_does_not_clear_errors() -> None:
    with pytest.raises(DeviceError, match="CLEAR_ERROR"):
        registers.encode(registers.CLEAR_ERROR, [-1])


@pytest.mark.parametrize("data", ["E9 03" + "00" * 10, "FF FF" + "00" * 10])
def test_an_angle_out_of_range_is_no_value(data: str) -> None:
    with pytest.raises(DeviceError, match="ANGLE_ACT"):
        registers.decode(registers.ANGLE_ACT, bytes.fromhex(data))
