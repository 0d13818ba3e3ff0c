"""The real-time controller on the drivers of the real devices, which talk to simulated ones over sockets and ptys."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from tests.robot.test_controller import Driver, check_limits

from dexloop import DexloopError
from dexloop.robot.control_config import ControlConfig
from dexloop.robot.controller import RealTime
from dexloop.robot.devices import DeviceError, Frame
from dexloop.robot.drivers.inspire.hand import HandConfig, InspireHand
from dexloop.robot.drivers.inspire.serial_line import SerialLine
from dexloop.robot.drivers.realman import RealmanArm
from dexloop.robot.hardware_plant import HardwareConfig, HardwarePlant
from dexloop.robot.person import Person
from dexloop.robot.plant import PlantState, Setpoint
from dexloop.robot.polling import Poller
from dexloop.robot.safety import SafetyLimits
from dexloop.robot.simulators.inspire.line_faults import LineFault, LineFaults
from dexloop.robot.simulators.inspire.model import HandModel
from dexloop.robot.simulators.inspire.pty_server import LineTiming
from dexloop.robot.simulators.inspire.serve_eb90 import serve_eb90
from dexloop.robot.simulators.realman import KinematicPlant, RealmanSimulator
from dexloop.types import FloatArray

HOME = (-0.13, -1.92, -1.41, -0.56, 1.60, 1.47)
AWAY = np.array(HOME) + np.array([0.2, 0.15, -0.1, 0.1, -0.1, 0.2])
OPEN = (0.0, 0.0, 0.0, 0.0, 0.0, 0.85)
CONFIG = HardwareConfig(home=HOME, fingers=OPEN, stale=5.0)
CONTROL = ControlConfig(
    task="cup", max_steps=50, homing_speed=2.0, homing_finger_speed=2.0, safety=SafetyLimits(overrun=5.0)
)
UP = np.array([0.0, 0.0, 0.8, 0.0, 0.0, 0.0] + [0.0] * 5 + [0.7], np.float32)
STILL = UP * np.array([0.0] * 6 + [1.0] * 6, np.float32)


@dataclass
class Devices:
    """The simulated ones, and what a controller makes of their drivers."""

    arm: RealmanSimulator
    hand: HandModel
    line: LineFaults
    plant: Spy
    backend: RealTime


class Spy(HardwarePlant):
    """The plant, with every setpoint it was given."""

    given: list[Setpoint]

    def command(self, setpoint: Setpoint) -> None:
        super().command(setpoint)
        self.given.append(setpoint)

    def path(self) -> np.ndarray:
        return np.array([np.concatenate([s.joints, s.fingers]) for s in self.given])


class Placer(Person):
    """A person who places the object at once, or does something else before they are looked after again."""

    def __init__(self) -> None:
        super().__init__("nowhere")
        self.asked: list[str] = []
        self.does: Callable[[], None] = lambda: None

    def ask(self, question: str, check: Callable[[], None]) -> None:
        self.asked.append(question)
        if "object" in question:
            self.does()
        check()

    @property
    def placed(self) -> int:
        """How often they were asked to put the object back."""
        return sum("object" in question for question in self.asked)


@pytest.fixture
def person() -> Placer:
    return Placer()


@contextlib.contextmanager
def robot(
    cameras: Sequence[Camera] = (),
    config: HardwareConfig = CONFIG,
    person: Placer | None = None,
    at: FloatArray = AWAY,
) -> Iterator[Devices]:
    """A controller whose arm is away from home."""
    model, faults = HandModel(), LineFaults()
    with RealmanSimulator(KinematicPlant(at)) as simulator, serve_eb90(model, faults, LineTiming()) as server:
        arm = RealmanArm("127.0.0.1", simulator.port, 0, timeout=2.0, stale=2.0)
        hand = InspireHand(SerialLine(server.path), None, HandConfig(timeout=2.0))
        plant = Spy(arm, hand, cameras, config)
        plant.given = []
        backend = RealTime(plant, CONTROL, person)
        try:
            yield Devices(simulator, model, faults, plant, backend)
        finally:
            backend.close()


@pytest.fixture
def devices(person: Placer) -> Iterator[Devices]:
    with robot(person=person) as devices:
        yield devices


def drive(driver: Driver, action: FloatArray, periods: int) -> None:
    for _ in range(periods):
        assert driver.step(action).fault is None


def test_reset_opens_retreats_and_goes_home_within_every_limit(devices: Devices, person: Placer) -> None:
    assert devices.plant.tick == pytest.approx(0.02)
    driver = Driver(devices.backend)
    sample = driver.reset(1)
    assert person.placed == 1
    np.testing.assert_allclose(devices.plant.state().joints, HOME, atol=0.01)
    np.testing.assert_allclose(sample.proprio[:6], 0.0, atol=0.01)
    np.testing.assert_allclose(sample.proprio[18:24], OPEN, atol=2e-3)
    np.testing.assert_allclose(sample.proprio[24:27], devices.plant.kinematics.forward(HOME)[:3, 3], atol=0.01)
    assert sample.truth is None and sample.fault is None
    path = devices.plant.path()
    check_limits(path, 0.02)
    heights = [float(devices.plant.kinematics.forward(joints)[2, 3]) for joints in path[:, :6]]
    assert max(heights) >= heights[0] + 0.095, "the retreat is upwards"
    assert devices.arm.ignored_frames == 0, "the arm followed every setpoint"


def test_actions_move_arm_and_hand_as_told(devices: Devices) -> None:
    driver = Driver(devices.backend)
    driver.reset(1)
    drive(driver, UP, 8)
    drive(driver, STILL, 5)
    sample = driver.step(STILL)
    risen = float(sample.proprio[2])
    assert risen == pytest.approx(8 * 0.8 * 0.025, abs=0.02), "less what acceleration takes, and more by braking"
    assert risen == pytest.approx(float(sample.proprio[14]), abs=0.002), "measured is where it was told to be"
    np.testing.assert_allclose(sample.proprio[6:11], 0.5, atol=0.01)
    height = devices.plant.kinematics.forward(devices.plant.state().joints)[2, 3]
    assert float(sample.proprio[26]) == pytest.approx(float(height), abs=0.002)
    np.testing.assert_allclose(sample.executed[:6], 0.0, atol=0.05)
    check_limits(devices.plant.path(), 0.02)
    assert devices.arm.ignored_frames == 0


def test_a_slow_hand_does_not_delay_the_arm(devices: Devices) -> None:
    driver = Driver(devices.backend)
    driver.reset(1)
    devices.line.inject(LineFault(delay=0.15), times=4)
    before = len(devices.plant.given)
    began = time.monotonic()
    drive(driver, UP, 6)
    seconds = time.monotonic() - began
    assert seconds < 6 * 0.1 + 0.25
    assert len(devices.plant.given) - before >= 0.7 * seconds / 0.02


def test_an_arm_that_reports_an_error_is_a_fault_until_somebody_has_looked(devices: Devices) -> None:
    driver = Driver(devices.backend)
    driver.reset(1)
    drive(driver, UP, 3)
    devices.arm.errors.system = 0x100D
    sample = driver.until(lambda sample: sample.fault is not None)
    assert sample.fault is not None and "collision" in sample.fault
    time.sleep(0.5)
    count = len(devices.plant.given)
    time.sleep(0.2)
    assert len(devices.plant.given) == count, "no setpoints to an arm in a fault"
    with pytest.raises(DexloopError, match="rearm"):
        devices.backend.reset(1)
    devices.arm.errors.system = 0
    devices.backend.rearm()
    driver.reset(2)
    assert driver.step(STILL).fault is None


def test_a_hand_that_reports_an_error_is_a_fault_until_somebody_has_looked(devices: Devices) -> None:
    driver = Driver(devices.backend)
    driver.reset(1)
    devices.hand.set_error(3, 0b1)
    sample = driver.until(lambda sample: sample.fault is not None)
    assert sample.fault is not None and "hand: index: locked rotor" in sample.fault
    devices.backend.rearm()
    driver.reset(2)
    drive(driver, STILL, 2)


def test_a_hand_that_is_silent_is_a_fault_and_the_arm_brakes(devices: Devices) -> None:
    driver = Driver(devices.backend)
    driver.reset(1)
    drive(driver, UP, 3)
    devices.line.silent = True
    sample = driver.until(lambda sample: sample.fault is not None)
    assert sample.fault is not None and sample.fault.startswith("hand")
    time.sleep(0.6)
    path = devices.plant.path()
    check_limits(path, 0.02)
    np.testing.assert_array_equal(path[-1], path[-5])
    with pytest.raises(DexloopError, match="hand"):
        devices.backend.rearm()
    devices.line.silent = False
    devices.backend.rearm()
    driver.reset(2)
    assert driver.step(STILL).fault is None


def rested(devices: Devices) -> np.ndarray:
    """The setpoints (T, 12) so far: within every limit, and at rest by now."""
    time.sleep(0.4)
    path = devices.plant.path()
    check_limits(path, 0.02)
    np.testing.assert_array_equal(path[-1], path[-2])
    return path


def test_stop_ends_the_way_home_and_the_wait_for_the_person(devices: Devices, person: Placer) -> None:
    driver = Driver(devices.backend)
    stopping = threading.Timer(0.3, devices.backend.stop)
    stopping.start()
    with pytest.raises(DexloopError, match="stopped"):
        driver.reset(1)
    assert person.placed == 0
    rested(devices)
    devices.backend.rearm()
    person.does = devices.backend.stop
    with pytest.raises(DexloopError, match="stopped"):
        driver.reset(1)
    assert person.placed == 1


def test_who_is_gone_before_the_scene_is_confirmed_gets_no_episode(devices: Devices, person: Placer) -> None:
    driver = Driver(devices.backend)
    person.does = devices.backend.detach
    with pytest.raises(DexloopError, match="nobody controls the robot any more"):
        driver.reset(1)
    person.does = lambda: None
    assert Driver(devices.backend).reset(2).fault is None


def test_who_is_gone_ends_the_way_home(devices: Devices, person: Placer) -> None:
    driver = Driver(devices.backend)
    leaving = threading.Timer(0.3, devices.backend.detach)
    leaving.start()
    with pytest.raises(DexloopError, match="nobody controls the robot any more"):
        driver.reset(1)
    assert person.placed == 0
    path = rested(devices)
    assert np.abs(path[-1][:6] - HOME).max() > 0.05, "it is not at home"


def test_an_arms_connection_that_broke_is_made_anew_by_rearming(devices: Devices) -> None:
    driver = Driver(devices.backend)
    driver.reset(1)
    drive(driver, UP, 3)
    devices.arm.cut()
    sample = driver.until(lambda sample: sample.fault is not None)
    assert sample.fault is not None and "closed the connection" in sample.fault
    with pytest.raises(DexloopError, match="rearm"):
        devices.backend.reset(1)
    devices.backend.rearm()
    driver.reset(2)
    drive(driver, UP, 3)
    check_limits(devices.plant.path()[-50:], 0.02)


def test_a_way_home_too_near_to_the_table_is_refused() -> None:
    with (
        robot(config=replace(CONFIG, clearance=0.5)) as devices,
        pytest.raises(DexloopError, match="move the arm up by hand"),
    ):
        devices.backend.reset(1)


def test_a_retreat_that_would_fold_the_hand_onto_the_arm_is_left_out() -> None:
    # Where a clumsy rollout ended: raised any farther the hand meets the forearm, and the straight way home is free.
    folded = np.array([-1.012, -0.934, -0.508, -2.511, 1.995, 2.435])
    with robot(at=folded) as devices:
        sample = Driver(devices.backend).reset(1)
        assert sample.fault is None
        np.testing.assert_allclose(devices.plant.state().joints, HOME, atol=0.01)
        check_limits(devices.plant.path(), 0.02)


def test_a_hold_on_the_way_home_does_not_end_it(devices: Devices) -> None:
    driver = Driver(devices.backend)
    holding = threading.Timer(0.2, devices.backend.hold)
    holding.start()
    assert driver.reset(1).fault is None
    holding.join()


class Camera:
    """A camera that can freeze, fail and hang."""

    name = "chest"

    def __init__(self) -> None:
        self.count, self.frozen, self.failure, self.hang = 0, False, "", 0.0

    def read(self) -> Frame:
        time.sleep(self.hang)
        if self.failure:
            raise DeviceError(self.failure)
        self.count += not self.frozen
        return Frame(np.zeros((8, 12, 3), np.uint8), self.count, time.monotonic())

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ({"frozen": True}, "camera chest shows nothing new"),
        ({"failure": "unplugged"}, "camera chest: unplugged"),
        ({"hang": 1.5}, "camera chest"),
    ],
)
def test_a_camera_that_fails_is_a_fault(spoil: dict[str, object], why: str) -> None:
    camera = Camera()
    with robot([camera]) as devices:
        assert devices.backend.spec.observation.cameras == {"chest": (8, 12)}
        driver = Driver(devices.backend)
        driver.reset(1)
        drive(driver, STILL, 2)
        for name, value in spoil.items():
            setattr(camera, name, value)
        sample = driver.until(lambda sample: sample.fault is not None)
        assert sample.fault is not None and why in sample.fault
        camera.hang = 0.0


def test_a_poller_keeps_an_error_until_it_is_forgotten() -> None:
    camera = Camera()
    poller = Poller("camera", 0.01, camera.read, 1.0)
    camera.failure = "unplugged"
    time.sleep(0.1)
    camera.failure = ""
    time.sleep(0.1)
    with pytest.raises(DeviceError, match="unplugged"):
        poller.newest()
    assert poller.forget(1.0).counter > 0
    poller.newest()
    poller.close()


def test_state_names_what_is_wrong_with_a_robot() -> None:
    nan = np.full(6, np.nan)
    here = PlantState(np.zeros(6), np.zeros(6), nan, nan)
    limits, at = SafetyLimits(), Setpoint(np.zeros(6), np.zeros(6))
    assert limits.fault_of(here, at) is None
    off = Setpoint(np.array([0.0, 0.5, 0, 0, 0, 0]), np.zeros(6))
    assert limits.fault_of(here, off) == "joint 2 is 28.6 degrees from its setpoint"
    lost = PlantState(nan, np.zeros(6), nan, nan)
    assert "not finite" in (limits.fault_of(lost, at) or "")
