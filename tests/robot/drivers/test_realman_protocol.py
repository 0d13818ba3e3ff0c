"""The RM65's messages, byte for byte, and what is no message of its."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.realman.faults import describe
from dexloop.robot.drivers.realman.lines import LineBuffer
from dexloop.robot.drivers.realman.protocol import (
    LIMITS,
    decode,
    encode,
    millidegrees,
    movej_canfd,
    parse_push,
    radians,
    set_hand_angle,
    set_realtime_push,
)

# As the maker's documentation prints it.
PUSH = (
    b'{"arm_err":0,"joint_status":{"joint_current":[43000,2085000,1020000,1000,257000,-57000],'
    b'"joint_en_flag":[1,1,1,1,1,1],"joint_err_code":[0,0,0,0,0,0],'
    b'"joint_position":[13434,-69764,2926,-4742,-45721,-223],'
    b'"joint_temperature":[33000,35000,37000,36000,37000,39000],'
    b'"joint_voltage":[22000,22000,22000,22000,22000,22000]},"state":"realtime_arm_joint_state","sys_err":0,'
    b'"waypoint":{"euler":[2935,2935,2935],"position":[578568,127709,345856],"quat":[-23405,824245,106348,555663]}}'
)


def push(**changes: Any) -> bytes:
    """The state above, with changes of its fields or of its joints'."""
    message = json.loads(PUSH)
    for key, value in changes.items():
        (message["joint_status"] if key.startswith("joint_") else message)[key] = value
    return json.dumps(message).encode()


def test_messages_byte_for_byte() -> None:
    joints = np.radians([1.0, 0.0, 20.0, 30.0, 0.0, -20.0005])
    assert encode(movej_canfd(millidegrees(joints))) == (
        b'{"command":"movej_canfd","joint":[1000,0,20000,30000,0,-20000],"follow":false}\r\n'
    )
    assert encode(set_realtime_push("192.168.1.10", 8089, 1, hand=False)) == (
        b'{"command":"set_realtime_push","cycle":1,"enable":true,"port":8089,"ip":"192.168.1.10","custom":{}}\r\n'
    )
    assert encode(set_realtime_push("192.168.1.10", 8089, 2, hand=True)) == (
        b'{"command":"set_realtime_push","cycle":2,"enable":true,"port":8089,"ip":"192.168.1.10",'
        b'"custom":{"hand":true}}\r\n'
    )
    assert encode(set_hand_angle([-1, 100, 200, 300, 400, 1000], follow=False)) == (
        b'{"command":"set_hand_angle","hand_angle":[-1,100,200,300,400,1000],"block":false}\r\n'
    )
    assert encode(set_hand_angle([-1, 100, 200, 300, 400, 1000], follow=True)) == (
        b'{"command":"hand_follow_angle","hand_angle":[-1,100,200,300,400,1000]}\r\n'
    )


def test_angles_are_thousandths_of_a_degree() -> None:
    angles = (178_000, -130_000, 135_000, -1, 0, 360_000)
    np.testing.assert_allclose(np.degrees(radians(angles)), [178.0, -130.0, 135.0, -0.001, 0.0, 360.0], atol=1e-12)
    assert millidegrees(radians(angles)) == angles


@given(st.tuples(*(st.integers(-limit, limit) for limit in LIMITS)))
def test_angles_survive_the_way_to_radians_and_back(angles: tuple[int, ...]) -> None:
    assert millidegrees(radians(angles)) == angles


@pytest.mark.parametrize(
    ("joints", "words"),
    [
        (np.zeros(7), "six joint angles"),
        (np.zeros((6, 1)), "six joint angles"),
        (np.array(["a"] * 6), "six joint angles"),
        (np.full(6, np.nan), "joint 1 is not finite"),
        (np.array([0, 0, 0, 0, 0, -np.inf]), "joint 6 is not finite"),
        (np.array([0, 0, 0, 0, 1e308, 0]), "joint 5"),
        (np.radians([0, 130.001, 0, 0, 0, 0]), "joint 2 at 130 degrees, its limit is 130"),
    ],
)
def test_joints_that_no_arm_can_take_are_refused_by_name(joints: np.ndarray, words: str) -> None:
    with pytest.raises(DeviceError, match=words):
        millidegrees(joints)


def test_documented_state_is_read() -> None:
    state = parse_push(PUSH)
    assert state.angles == (13434, -69764, 2926, -4742, -45721, -223)
    assert describe(state) is None
    assert state.hand is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"err": 4109}, "collision (0x100D)"),
        ({"err": [4103, 4114]}, "joint overspeed (0x1007); self-collision (0x1012)"),
        ({"err": ["0"]}, None),
        ({"err": ["4109"]}, "collision (0x100D)"),
        ({"arm_err": 0x1014}, "joint beyond its soft limit (0x1014)"),
        ({"sys_err": 0x5003}, "controller over-temperature (0x5003)"),
        ({"err": [0x1F00]}, "unknown arm error (0x1F00)"),
        ({"joint_err_code": [0, 0, 0x20, 0, 0, 0]}, "joint 3: encoder error (0x0020)"),
        ({"joint_err_code": [0x48, 0, 0, 0, 0, 0]}, "joint 1: over-temperature, overcurrent (0x0048)"),
        ({"joint_err_code": [0, 0, 0, 0, 0, 0xF000]}, "joint 6: no communication (0xF000)"),
        ({"joint_err_code": [0x10000, 0, 0, 0, 0, 0]}, "joint 1: unknown joint error (0x10000)"),
        ({"joint_en_flag": [1, 0, 1, 1, 1, 1]}, "joint 2: not enabled"),
    ],
)
def test_errors_become_words(changes: dict[str, Any], words: str | None) -> None:
    assert describe(parse_push(push(**changes))) == words


def test_hand_state_is_read() -> None:
    hand = {"hand_pos": [1, 2, 3, 4, 5, 6], "hand_force": [100, 0, 0, 0, 0, -7], "hand_err": 1}
    state = parse_push(push(hand=hand)).hand
    assert state is not None
    assert (state.position, state.force, state.error) == ((1, 2, 3, 4, 5, 6), (100, 0, 0, 0, 0, -7), 1)
    assert parse_push(push(hand="offline")).hand is None


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"joint_status":3}',
        PUSH[:-1],
        b"[" * 100_000,
        push(joint_position=[0] * 7),
        push(joint_position=[0, 0, 0, 0, 0, 1e9]),
        push(joint_position=[0, 0, 0, 0, 0, True]),
        push(joint_position=[0, 0, 0, 0, 0, None]),
        push(joint_err_code=[0] * 5),
        push(err=[-1]),
        push(err=[[1]]),
        PUSH.replace(b"13434", b"NaN"),
        PUSH.replace(b"13434", b"9" * 5000),
    ],
    ids=range(16),
)
def test_datagrams_that_are_no_state_are_refused(datagram: bytes) -> None:
    with pytest.raises(DeviceError, match="the arm sent"):
        parse_push(datagram)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_device_errors(data: bytes) -> None:
    for parse in (decode, parse_push):
        with contextlib.suppress(DeviceError):
            parse(data)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_lines_are_whole_however_the_packets_fall(cuts: list[int]) -> None:
    lines = [b'{"a":1}', b'{"state":"joint_state","arm_err":0}', b"{}"]
    stream = b"\r\n".join(lines) + b"\r\n\r\n"
    buffer, got, at = LineBuffer(), [], 0
    while at < len(stream):
        cut = cuts[at % len(cuts)]
        got += buffer.feed(stream[at : at + cut])
        at += cut
    assert got == lines


def test_a_line_without_end_is_refused() -> None:
    buffer = LineBuffer(limit=100)
    assert buffer.feed(b"x" * 100) == []
    with pytest.raises(DeviceError, match="a line of more than 100 bytes"):
        buffer.feed(b"x")
    with pytest.raises(DeviceError, match="a line of more than 100 bytes"):
        LineBuffer(limit=100).feed(b"x" * 101 + b"\n{}\n")
