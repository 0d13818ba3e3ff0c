"""The RM65's language: one JSON object a line, ended by CR LF, over TCP; the state as JSON datagrams over UDP.

Numbers on the wire are integers: angles in 0.001 degrees, forces of a relayed hand in millinewtons. Names and units are
those of the maker's "JSON protocol" for the third generation of its controllers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dexloop.robot.devices import Array, DeviceError
from dexloop.sim.kinematics import JOINT_LIMITS

Message = dict[str, Any]

JOINTS = 6
MILLIDEGREES_PER_RADIAN = 180_000.0 / math.pi
LIMITS: tuple[int, ...] = tuple(round(limit * MILLIDEGREES_PER_RADIAN) for limit in JOINT_LIMITS.tolist())
"""Joint limits, symmetric about zero [0.001 degrees]."""
FRAME_STEP = 10_000
"""The longest way of a joint between two streamed targets that the arm responds to [0.001 degrees]."""
FRAME_SPEED = 180_000
"""The highest speed of a joint between two streamed targets that the arm responds to [0.001 degrees/s]."""
ETHERNET_PERIOD = 0.02
"""The shortest time between two streamed targets over the Ethernet port [s]."""
ERROR_KEYS = ("err", "arm_err", "sys_err")
"""Under which messages tell errors of the system, as a number or a list."""
LINE_LIMIT = 65_536
"""A line longer than this is none of the arm's: its longest answers have a few thousand bytes."""


def encode(message: Message) -> bytes:
    """The message's line, without blanks, ended by CR LF: without them the arm does not answer."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\r\n"


def decode(line: bytes) -> Message:
    """The message of a line or a datagram. Raises DeviceError for what is no JSON object."""
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise DeviceError(f"the arm sent {excerpt(line)}, which is no JSON object")
    return message


def excerpt(line: bytes) -> str:
    """The beginning of bytes, for an error message of one line."""
    return repr(line[:40])[1:] + ("..." if len(line) > 40 else "")


def _no_number(name: str) -> float:
    raise ValueError(name)


def millidegrees(joints: Array) -> tuple[int, ...]:
    """Joint angles (6,) [rad] as the arm counts them [0.001 degrees].

    Raises DeviceError for what is no six finite numbers, or lies outside the joint limits once rounded.
    """
    joints = np.asarray(joints)
    if joints.shape != (JOINTS,) or joints.dtype.kind not in "fiu":
        raise DeviceError(f"arm command: six joint angles were expected, not {joints.dtype} {joints.shape}")
    angles = [angle * MILLIDEGREES_PER_RADIAN for angle in joints.tolist()]
    for i, (angle, limit) in enumerate(zip(angles, LIMITS, strict=True)):
        if not math.isfinite(angle):
            raise DeviceError(f"arm command: joint {i + 1} is not finite")
        if abs(round(angle)) > limit:
            raise DeviceError(f"arm command: joint {i + 1} at {angle / 1e3:.4g} degrees, its limit is {limit / 1e3:g}")
    return tuple(round(angle) for angle in angles)


def radians(angles: Sequence[float]) -> Array:
    """Joint angles [rad] from the arm's [0.001 degrees]."""
    return np.array(angles, dtype=np.float64) / MILLIDEGREES_PER_RADIAN


def movej_canfd(angles: Sequence[int]) -> Message:
    """Follow this target [0.001 degrees] at once, unplanned; follow true would ask for a frame every 10 ms."""
    return {"command": "movej_canfd", "joint": list(angles), "follow": False}


def set_realtime_push(ip: str, port: int, cycle: int, *, hand: bool) -> Message:
    """Send the state to this address, every ``cycle`` times 5 ms; hand: with what a relayed hand reports."""
    custom: Message = {"hand": True} if hand else {}
    return {"command": "set_realtime_push", "cycle": cycle, "enable": True, "port": port, "ip": ip, "custom": custom}


def set_hand_angle(values: Sequence[int], *, follow: bool) -> Message:
    """Move a relayed hand's six fingers, little finger first; -1 leaves a finger alone.

    follow: hand_follow_angle, up to 50 a second, where the hand's firmware has it.
    """
    if follow:
        return {"command": "hand_follow_angle", "hand_angle": list(values)}
    return {"command": "set_hand_angle", "hand_angle": list(values), "block": False}


@dataclass(frozen=True, slots=True)
class PushedHand:
    """What a relayed hand reports, six values each and in the hand's order: position (0 to 1000), force [mN], error."""

    position: tuple[float, ...]
    force: tuple[float, ...]
    error: int


@dataclass(frozen=True, slots=True)
class Push:
    """One state of the arm: angles (6,) [0.001 degrees]; errors: of the system; joint_errors and enabled: (6,)."""

    angles: tuple[float, ...]
    errors: tuple[int, ...]
    joint_errors: tuple[int, ...]
    enabled: tuple[bool, ...]
    hand: PushedHand | None


def parse_push(datagram: bytes) -> Push:
    """The state in a datagram. Raises DeviceError for anything else."""
    message = decode(datagram)
    try:
        joints = message["joint_status"]
        errors = [code for key in ERROR_KEYS for code in _codes(message.get(key, 0))]
        hand = message.get("hand")
        return Push(
            angles=_numbers(joints["joint_position"]),
            errors=tuple(code for code in errors if code),
            joint_errors=tuple(_code(code) for code in _six(joints.get("joint_err_code", [0] * JOINTS))),
            enabled=tuple(bool(flag) for flag in _six(joints.get("joint_en_flag", [1] * JOINTS))),
            hand=_hand(hand) if isinstance(hand, dict) else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DeviceError(f"the arm sent {excerpt(datagram)}, which is no state of six joints") from None


def errors_in(message: Message) -> tuple[int, ...]:
    """The system's errors in any answer or state; none where what stands there is no code."""
    told = message.get("arm_state")
    places = [message, told] if isinstance(told, dict) else [message]
    try:
        codes = [code for place in places for key in ERROR_KEYS for code in _codes(place.get(key, 0))]
    except (TypeError, ValueError):
        return ()
    return tuple(code for code in codes if code)


def _hand(hand: Message) -> PushedHand:
    return PushedHand(_numbers(hand["hand_pos"]), _numbers(hand["hand_force"]), _code(hand.get("hand_err", 0)))


def _six(values: Any) -> list[Any]:
    if not isinstance(values, list) or len(values) != JOINTS:
        raise ValueError(values)
    return values


def _numbers(values: Any) -> tuple[float, ...]:
    six = _six(values)
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e6 for v in six):
        raise ValueError(values)
    return tuple(float(v) for v in six)


def _codes(value: Any) -> tuple[int, ...]:
    """Firmware reports the system's errors as a number, as a list of numbers, or as a list of their texts."""
    return tuple(_code(code) for code in (value if isinstance(value, list) else [value]))


def _code(value: Any) -> int:
    code = int(value, 0) if isinstance(value, str) else int(value)
    if (code != value and not isinstance(value, str)) or not 0 <= code < 1 << 32:
        raise ValueError(value)
    return code
