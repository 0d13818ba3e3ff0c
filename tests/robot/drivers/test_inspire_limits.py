"""Whatever is commanded, only values that the hand takes go out, and nothing at all where something is not finite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexloop.errors import DexloopError
from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.inspire import registers
from dexloop.robot.drivers.inspire.calibration import HOLD, Calibration
from dexloop.robot.drivers.inspire.hand import HandConfig, InspireHand
from dexloop.robot.simulators.inspire.model import HandModel


class Direct:
    """The simulated hand without a wire. written: the addresses that were."""

    def __init__(self) -> None:
        self.model = HandModel()
        self.written: list[int] = []

    def read(self, address: int, size: int, deadline: float) -> bytes:
        return self.model.read(address, size)

    def write(self, address: int, data: bytes, deadline: float) -> None:
        self.written.append(address)
        self.model.write(address, data)

    def reset(self) -> None: ...

    def close(self) -> None: ...


def direct(calibration: Calibration | None = None, repeat: float = 1e9) -> tuple[Direct, InspireHand]:
    wire = Direct()
    return wire, InspireHand(wire, calibration, HandConfig(timeout=5.0, repeat=repeat))


finite = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=6, max_size=6).map(np.array)
angles = st.lists(st.integers(0, 1000), min_size=6, max_size=6).map(tuple)


@given(finite, finite, finite, angles, angles)
def test_finite_commands_are_written_within_the_registers_ranges(
    fingers: np.ndarray, speed: np.ndarray, force: np.ndarray, open_: tuple[int, ...], closed: tuple[int, ...]
) -> None:
    closed = tuple((c + 1) % 1001 if c == o else c for o, c in zip(open_, closed, strict=True))
    wire, hand = direct(Calibration(open_, closed))
    before = wire.model.values(registers.ANGLE_SET)
    hand.command(fingers, speed, force)  # the simulated hand refuses a value out of range
    written = wire.model.values(registers.ANGLE_SET)
    for i in range(6):
        if fingers[i] == HOLD:
            assert written[i] == before[i]
        else:
            assert min(open_[i], closed[i]) <= written[i] <= max(open_[i], closed[i])
    for value, v in zip(wire.model.values(registers.SPEED_SET), speed, strict=True):
        assert value == 0 if v <= 0.0 else value * 1e-3 <= v + 1e-8
    for value, f in zip(wire.model.values(registers.FORCE_SET), force, strict=True):
        assert value == 0 if f <= 0.0 else value * registers.GRAM_FORCE <= f + 1e-7


@given(st.integers(0, 2), st.integers(0, 5), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_what_is_not_finite_is_refused_before_a_byte_is_sent(argument: int, finger: int, value: float) -> None:
    wire, hand = direct()
    arguments = [np.full(6, 0.5) for _ in range(3)]
    arguments[argument][finger] = value
    with pytest.raises(DeviceError, match="not finite"):
        hand.command(*arguments)
    assert wire.written == []


@pytest.mark.parametrize("shape", [(5,), (7,), (1, 6), ()])
def test_a_command_of_another_shape_is_refused_before_a_byte_is_sent(shape: tuple[int, ...]) -> None:
    wire, hand = direct()
    with pytest.raises(DeviceError, match="shape"):
        hand.command(np.zeros(6), np.ones(6), np.ones(shape))
    assert wire.written == []


@given(angles, angles, finite)
def test_fractions_survive_the_registers_to_half_a_step(
    open_: tuple[int, ...], closed: tuple[int, ...], fingers: np.ndarray
) -> None:
    closed = tuple((c + 1) % 1001 if c == o else c for o, c in zip(open_, closed, strict=True))
    calibration, wanted = Calibration(open_, closed), np.clip(np.abs(fingers), 0.0, 1.0)
    back = calibration.fractions(tuple(calibration.values(wanted)))
    steps = np.abs(np.subtract(open_, closed))
    assert (np.abs(back - wanted) <= 0.5 / steps + 1e-9).all()


def test_force_in_newtons_is_rounded_down_to_grams() -> None:
    wire, hand = direct()
    hand.command(np.zeros(6), np.ones(6), np.array([0.0, 1.0, 2.0, 9.80665, 50.0, 500 * registers.GRAM_FORCE]))
    assert wire.model.values(registers.FORCE_SET) == [0, 101, 203, 1000, 1000, 500]


def test_speed_and_force_go_out_before_the_angles_and_only_when_they_change() -> None:
    wire, hand = direct()
    hand.command(np.zeros(6), np.ones(6), np.ones(6))
    hand.command(np.ones(6), np.ones(6), np.ones(6))
    hand.command(np.ones(6), np.ones(6) * 0.5, np.ones(6))
    speed, force, angle = (r.address for r in (registers.SPEED_SET, registers.FORCE_SET, registers.ANGLE_SET))
    assert wire.written == [speed, force, angle, angle, speed, angle]


def test_speed_and_force_are_repeated_for_a_hand_that_forgot_them() -> None:
    wire, hand = direct(repeat=0.0)
    hand.command(np.zeros(6), np.ones(6), np.ones(6))
    hand.command(np.zeros(6), np.ones(6), np.ones(6))
    assert len(wire.written) == 6


def test_clearing_a_fault_is_one_write_and_limits_follow_anew() -> None:
    wire, hand = direct()
    hand.command(np.zeros(6), np.ones(6), np.ones(6))
    wire.written.clear()
    hand.state()
    assert wire.written == []
    hand.clear_fault()
    assert wire.written == [registers.CLEAR_ERROR.address]
    hand.command(np.zeros(6), np.ones(6), np.ones(6))
    assert len(wire.written) == 4


@pytest.mark.parametrize(
    "open_, closed", [((1000,) * 6, (1000,) * 6), ((1001,) * 6, (0,) * 6), ((1000,) * 6, (-1,) * 6), ((1000,), (0,))]
)
def test_a_calibration_that_is_none_is_refused(open_: tuple[int, ...], closed: tuple[int, ...]) -> None:
    with pytest.raises(DexloopError, match="calibration"):
        Calibration(open_, closed)


def test_a_finger_beyond_its_calibration_is_told_as_it_is() -> None:
    _, hand = direct(Calibration(open=(900,) * 6, closed=(100,) * 6))
    assert hand.state().fingers == pytest.approx([-0.125] * 6)


def test_bits_without_a_name_are_a_fault_too() -> None:
    wire, hand = direct()
    wire.model.set_error(5, 0b1000_0001)
    assert hand.state().fault == "thumb_rotation: locked rotor, error bit 7"
