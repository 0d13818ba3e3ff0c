"""How the simulated hand moves, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
import pytest

from dexloop.robot.drivers.inspire import registers
from dexloop.robot.drivers.inspire.registers import Register
from dexloop.robot.simulators.inspire.model import HandDynamics, HandModel, RefusedError
from dexloop.sim.hand import FINGER_NAMES, HandCalibration, hand_actuators, hand_body, hand_couplings, hand_defaults


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def put(model: HandModel, register: Register, value: int) -> None:
    model.write(register.address, registers.encode(register, [value] * register.count))


def pass_until(clock: Clock, condition: Callable[[], bool], limit: float = 5.0) -> float:
    """Seconds until a condition holds, to a millisecond."""
    start = clock.now
    while not condition():
        clock.now += 0.001
        assert clock.now - start < limit
    return clock.now - start


def angle(model: HandModel) -> int:
    return model.values(registers.ANGLE_ACT)[3]


@pytest.mark.parametrize("seed", range(5))
def test_motion_begins_50_to_70_ms_after_the_command(seed: int) -> None:
    clock = Clock()
    model = HandModel(HandDynamics(seed=seed), clock=clock)
    put(model, registers.ANGLE_SET, 0)
    assert 0.05 <= pass_until(clock, lambda: angle(model) < 1000) <= 0.077


@pytest.mark.parametrize("speed, shortest, longest", [(1000, 0.18, 0.30), (500, 0.36, 0.60), (100, 1.8, 3.0)])
def test_a_stroke_takes_as_long_as_the_speed_says(speed: int, shortest: float, longest: float) -> None:
    clock = Clock()
    model = HandModel(clock=clock)
    put(model, registers.SPEED_SET, speed)
    put(model, registers.ANGLE_SET, 0)
    pass_until(clock, lambda: angle(model) < 1000)
    assert model.values(registers.STATUS) == [1] * 6
    assert shortest <= pass_until(clock, lambda: angle(model) == 0) <= longest
    assert model.values(registers.STATUS) == [2] * 6


def test_commands_take_effect_in_their_order() -> None:
    clock = Clock()
    model = HandModel(clock=clock)
    for value in (0, 500, 800):
        put(model, registers.ANGLE_SET, value)
    clock.now += 2.0
    assert angle(model) == 800


@pytest.mark.parametrize("speed", [1000, 100])
def test_force_passes_its_limit_before_the_finger_stops_and_less_when_slow(speed: int) -> None:
    """A wall at half the stroke, so stiff that the highest speed makes a multiple of the limit."""
    clock = Clock()
    peak = 0.0

    def wall(fingers: np.ndarray) -> np.ndarray:
        nonlocal peak
        force = np.maximum(fingers - 0.5, 0.0) * 80.0
        peak = max(peak, float(force.max()))
        return force

    model = HandModel(contact=wall, clock=clock)
    put(model, registers.SPEED_SET, speed)
    put(model, registers.FORCE_SET, 500)
    put(model, registers.ANGLE_SET, 0)
    pass_until(clock, lambda: model.values(registers.STATUS) == [3] * 6)
    clock.now += 1.0
    assert 0 < angle(model) < 500, "the finger stands against the wall"
    set_force = 500 * registers.GRAM_FORCE
    low, high = (2.0, 5.0) if speed == 1000 else (1.0, 1.5)
    assert low * set_force < peak < high * set_force
    assert model.values(registers.FORCE_ACT)[3] == pytest.approx(peak / registers.GRAM_FORCE, abs=1)
    put(model, registers.ANGLE_SET, 1000)
    pass_until(clock, lambda: angle(model) == 1000)


def test_a_finger_with_an_error_stands_until_it_is_cleared() -> None:
    clock = Clock()
    model = HandModel(clock=clock)
    model.set_error(3, 0b1)
    put(model, registers.ANGLE_SET, 0)
    clock.now += 1.0
    assert model.values(registers.ANGLE_ACT) == [0, 0, 0, 1000, 0, 0]
    assert model.values(registers.STATUS) == [2, 2, 2, 6, 2, 2]
    put(model, registers.CLEAR_ERROR, 1)
    clock.now += 1.0
    assert angle(model) == 0


@pytest.mark.parametrize(
    "address, data",
    [
        (1486, bytes(2)),  # half a register
        (1486, (1001).to_bytes(2, "little") * 6),
        (1546, bytes(12)),  # reports only
        (1510, bytes(12)),  # nothing there
        (1498, bytes(12) + b"\xfe\xff" * 6),
    ],
)
def test_writes_that_make_no_sense_change_nothing(address: int, data: bytes) -> None:
    model = HandModel()
    before = [model.values(r) for r in registers.REGISTERS if r.writable]
    with pytest.raises(RefusedError):
        model.write(address, data)
    assert [model.values(r) for r in registers.REGISTERS if r.writable] == before


class MujocoHand:
    """The hand of the simulated robot as a plant."""

    def __init__(self) -> None:
        calibration = HandCalibration()
        self._model = mujoco.MjModel.from_xml_string(f"""
<mujoco><option timestep=".0025"/><default>{hand_defaults()}</default><worldbody>{hand_body()}</worldbody>
<equality>{hand_couplings()}</equality><actuator>{hand_actuators(calibration, None)}</actuator></mujoco>""")
        self._data = mujoco.MjData(self._model)
        self._closed = np.array(calibration.closed)
        self._joints = [self._model.joint(name).qposadr[0] for name in FINGER_NAMES]

    def command(self, fingers: np.ndarray) -> None:
        self._data.ctrl[:] = fingers * self._closed
        mujoco.mj_step(self._model, self._data, 2)

    def fingers(self) -> np.ndarray:
        return self._data.qpos[self._joints] / self._closed


def test_the_mujoco_hand_moves_in_its_place() -> None:
    clock = Clock()
    plant = MujocoHand()
    model = HandModel(plant=plant, clock=clock)
    fist = [500, 500, 500, 500, 900, 900]
    model.write(registers.ANGLE_SET.address, registers.encode(registers.ANGLE_SET, fist))
    clock.now += 0.15
    halfway = model.values(registers.ANGLE_ACT)
    assert all(500 < v < 1000 for v in halfway[:4])
    clock.now += 1.0
    assert model.values(registers.ANGLE_ACT) == pytest.approx(fist, abs=20)
    assert plant.fingers() == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.1, 0.1], abs=0.02)


def test_the_force_zero_is_what_the_fingers_feel_when_it_is_set() -> None:
    clock = Clock()
    pressed = np.array([0.0, 2.0, 0.0, 0.0, 0.0, 0.0])
    model = HandModel(HandDynamics(zero_seconds=1.0), contact=lambda fractions: pressed, clock=clock)
    model.drift(np.full(6, 0.5))
    clock.now += 0.1
    assert np.array(model.values(registers.FORCE_ACT)) * registers.FORCE_ACT.scale == pytest.approx(
        pressed + 0.5, abs=0.01
    )
    model.write(registers.FORCE_CLB.address, registers.encode(registers.FORCE_CLB, [1]))
    model.write(registers.ANGLE_SET.address, registers.encode(registers.ANGLE_SET, [0] * 6))
    clock.now += 1.1
    assert model.values(registers.ANGLE_ACT) == [1000] * 6, "no target is taken meanwhile"
    assert model.values(registers.FORCE_ACT) == [0] * 6
    pressed[1] = 0.0
    clock.now += 0.1
    assert model.values(registers.FORCE_ACT)[1] * registers.FORCE_ACT.scale == pytest.approx(-2.0, abs=0.01)
