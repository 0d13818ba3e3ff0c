"""The arm's error codes in words, after the appendix "Error codes" of the maker's JSON protocol."""

from __future__ import annotations

from dexloop.robot.drivers.realman.protocol import Push

SYSTEM = {
    0x1001: "abnormal joint communication",
    0x1002: "target angle out of limit",
    0x1003: "point unreachable or singular",
    0x1004: "real-time kernel communication error",
    0x1005: "joint communication bus error",
    0x1006: "planning kernel error",
    0x1007: "joint overspeed",
    0x1008: "end interface board disconnected",
    0x1009: "speed out of limit",
    0x100A: "acceleration out of limit",
    0x100B: "joint brake not released",
    0x100C: "overspeed during drag teaching",
    0x100D: "collision",
    0x100E: "no such work frame",
    0x100F: "no such tool frame",
    0x1010: "joint lost its enable",
    0x1011: "arc planning error",
    0x1012: "self-collision",
    0x1013: "electronic fence touched",
    0x1014: "joint beyond its soft limit",
    0x2001: "abnormal gripper",
    0x2002: "abnormal hand",
    0x2003: "abnormal six-axis force sensor",
    0x2004: "abnormal one-axis force sensor",
    0x2005: "abnormal output current",
    0x5003: "controller over-temperature",
    0x5005: "controller overcurrent",
    0x5006: "controller undercurrent",
    0x5007: "controller overvoltage",
    0x5008: "controller undervoltage",
    0x5009: "real-time layer communication error",
}

JOINT = {
    0x0001: "FOC error",
    0x0002: "overvoltage",
    0x0004: "undervoltage",
    0x0008: "over-temperature",
    0x0010: "start failed",
    0x0020: "encoder error",
    0x0040: "overcurrent",
    0x0080: "software error",
    0x0100: "temperature sensor error",
    0x0200: "position out of limit",
    0x0400: "invalid joint number",
    0x0800: "position tracking error",
    0x1000: "current sensor error",
    0x2000: "brake not released",
    0x4000: "step in the position command",
    0x8000: "turns of a multi-turn joint lost",
}
"""Bits, of which several can be set."""
JOINT_SILENT = 0xF000
"""All four upper bits are no sum of theirs: the joint does not answer on the arm's bus."""


def describe(push: Push) -> str | None:
    """What an arm reports to be wrong, in words and with the code; None without an error."""
    words = [system_error(code) for code in push.errors]
    for i, (code, enabled) in enumerate(zip(push.joint_errors, push.enabled, strict=True)):
        if code:
            words.append(f"joint {i + 1}: {joint_error(code)}")
        elif not enabled:
            words.append(f"joint {i + 1}: not enabled")
    return "; ".join(words) or None


def system_error(code: int) -> str:
    """An error of the arm as a whole: joint overspeed (0x1007)."""
    return f"{SYSTEM.get(code, 'unknown arm error')} (0x{code:04X})"


def joint_error(code: int) -> str:
    """The errors of one joint: encoder error, overcurrent (0x0060)."""
    if code == JOINT_SILENT:
        words = ["no communication"]
    else:
        words = [JOINT.get(1 << bit, "unknown joint error") for bit in range(code.bit_length()) if code >> bit & 1]
    return f"{', '.join(words)} (0x{code:04X})"
