"""The registers of the Inspire RH56 hands: the only place where their numbers stand.

Addresses count bytes. A number of two bytes is little-endian in memory; the six values of a group lie side by side,
in the order of ``dexloop.sim.hand.FINGER_NAMES``. Over Modbus the same addresses are asked for in words: a register of
two bytes is one word, a group of single bytes travels in pairs with the first byte in the high half, and a lone byte is
the low half of a word of its own. The packing of bytes is taken from public drivers, not from the maker's text: were it
the other way round, errors and temperatures would be reported for the neighbouring finger.

Source: the maker's manual of the RH56 series (register table) and public drivers of it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from dexloop.robot.devices import DeviceError

FINGERS = 6
GRAM_FORCE = 9.80665e-3
"""[N]. The force registers count grams, says the manual, which is taken for grams-force at standard gravity."""
UNCHANGED = -1
"""Written for a finger, it leaves that finger's value as it is."""


@dataclass(frozen=True, slots=True)
class Register:
    """A named group of values.

    address: of its first byte. count: values in it. width: bytes of one value, 1 unsigned or 2 signed. low, high: the
    range of a value. unit: of a value; scale: that unit in dexloop's. writable: whether the hand takes it, and then
    ``UNCHANGED`` in groups too.
    """

    name: str
    address: int
    count: int
    width: int
    low: int
    high: int
    unit: str
    scale: float = 1.0
    writable: bool = False

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return self.count * self.width

    @property
    def end(self) -> int:
        """The address after its last byte."""
        return self.address + self.size


ID = Register("ID", 1000, 1, 1, 1, 254, "")
CLEAR_ERROR = Register("CLEAR_ERROR", 1004, 1, 1, 0, 1, "", writable=True)
FORCE_CLB = Register("GESTURE_FORCE_CLB", 1009, 1, 1, 0, 1, "", writable=True)
ANGLE_SET = Register("ANGLE_SET", 1486, 6, 2, 0, 1000, "thousandth of the stroke, 1000 open", writable=True)
FORCE_SET = Register("FORCE_SET", 1498, 6, 2, 0, 1000, "g", GRAM_FORCE, writable=True)
SPEED_SET = Register("SPEED_SET", 1522, 6, 2, 0, 1000, "thousandth of the highest", 1e-3, writable=True)
ANGLE_ACT = Register("ANGLE_ACT", 1546, 6, 2, 0, 1000, "thousandth of the stroke, 1000 open")
FORCE_ACT = Register("FORCE_ACT", 1582, 6, 2, -4000, 4000, "g", GRAM_FORCE)
CURRENT = Register("CURRENT", 1594, 6, 2, -32768, 32767, "mA")
ERROR = Register("ERROR", 1606, 6, 1, 0, 255, "bits")
STATUS = Register("STATUS", 1612, 6, 1, 0, 255, "")
TEMPERATURE = Register("TEMP", 1618, 6, 1, 0, 255, "°C")

REGISTERS = (
    ID,
    CLEAR_ERROR,
    FORCE_CLB,
    ANGLE_SET,
    FORCE_SET,
    SPEED_SET,
    ANGLE_ACT,
    FORCE_ACT,
    CURRENT,
    ERROR,
    STATUS,
    TEMPERATURE,
)

ERROR_WORDS = ("locked rotor", "over temperature", "over current", "motor abnormal", "communication")
"""What bits 0 to 4 of ERROR mean."""
STATUS_WORDS = {
    0: "opening",
    1: "closing",
    2: "position reached",
    3: "force reached",
    5: "stopped by current",
    6: "stopped by a locked rotor",
    7: "stopped by a fault",
    255: "error",
}
"""What a value of STATUS means."""
FAULTY_STATUS = (5, 6, 7, 255)
"""The values of STATUS at which a finger has stopped on its own."""


def encode(register: Register, values: Sequence[int]) -> bytes:
    """The bytes of a register's values; DeviceError for a wrong number or a value out of range."""
    if not register.writable:
        raise DeviceError(f"the hand's register {register.name} cannot be written")
    if len(values) != register.count:
        raise DeviceError(f"the hand's register {register.name} takes {register.count} values, not {len(values)}")
    for value in values:
        kept = register.count > 1 and value == UNCHANGED
        if not kept and not register.low <= value <= register.high:
            raise DeviceError(f"{value} is no value of the hand's register {register.name}")
    return struct.pack(_layout(register), *values)


def decode(register: Register, data: bytes) -> tuple[int, ...]:
    """The values of a register's bytes; DeviceError for a wrong number of bytes or a value out of range."""
    if len(data) != register.size:
        raise DeviceError(f"the hand's register {register.name} has {register.size} bytes, not {len(data)}")
    values: tuple[int, ...] = struct.unpack(_layout(register), data)
    for value in values:
        if not register.low <= value <= register.high:
            raise DeviceError(f"the hand reports {value} in register {register.name}, which no hand can")
    return values


def words_of(address: int, data: bytes) -> list[int]:
    """The Modbus words that carry these bytes at this address."""
    if _alone(address):
        return [data[0]]
    return [struct.unpack(_pair(address + i), data[i : i + 2])[0] for i in range(0, len(data), 2)]


def bytes_of(address: int, words: Sequence[int]) -> bytes:
    """The bytes that these Modbus words [0, 65535] carry at this address."""
    if _alone(address):
        return bytes([words[0] & 0xFF])
    return b"".join(struct.pack(_pair(address + 2 * i), word) for i, word in enumerate(words))


def word_count(address: int, size: int) -> int:
    """How many Modbus words carry ``size`` bytes at this address."""
    return 1 if _alone(address) else size // 2


def byte_count(address: int, words: int) -> int:
    """How many bytes so many Modbus words carry at this address."""
    return 1 if _alone(address) and words == 1 else 2 * words


def _layout(register: Register) -> str:
    return f"<{register.count}{'B' if register.width == 1 else 'h'}"


def _alone(address: int) -> bool:
    return any(r.address == address and r.size == 1 for r in REGISTERS)


def _pair(address: int) -> str:
    single_bytes = any(r.width == 1 and r.address <= address < r.end for r in REGISTERS)
    return ">H" if single_bytes else "<H"
