"""The simulated hand's registers as a Modbus server sees them."""

from __future__ import annotations

from collections.abc import Sequence

from dexloop.robot.drivers.inspire import registers
from dexloop.robot.simulators.inspire.model import HandModel


def read_words(model: HandModel, address: int, count: int) -> list[int]:
    """``count`` words from an address; RefusedError as the model's ``read``."""
    return registers.words_of(address, model.read(address, registers.byte_count(address, count)))


def write_words(model: HandModel, address: int, words: Sequence[int]) -> None:
    """Set the words from an address; RefusedError as the model's ``write``."""
    model.write(address, registers.bytes_of(address, words))
