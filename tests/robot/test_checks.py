"""``dexloop doctor --config``: what is wrong with a robot, found through drivers, sockets and simulated devices."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dexloop import DexloopError
from dexloop.doctor import Finding
from dexloop.robot import checks
from dexloop.robot.doctor import doctor, examine_devices, examine_robot, main
from dexloop.robot.drivers.cameras import LiveCamera
from dexloop.robot.drivers.cameras.camera import Shot
from dexloop.robot.open_robot import hardware_config
from dexloop.robot.robot_file import read_robot
from dexloop.robot.simulated_hardware import SimulatedHardware
from dexloop.sim.config import SimConfig
from dexloop.sim.tasks.base import load_task
from dexloop.types import ImageArray

# A busy machine delays states and wakes late, which is no fault of what is tested here.
PATIENT = """
[arm]
host = "127.0.0.1"
port = 1
period = 0.1
[safety]
overrun = 5.0
stale = 2.0
[reset]
confirm = false
"""
EB90 = '[hand]\ntransport = "eb90"\ndevice = "/dev/nothing"\ntimeout = 0.5\n'
MEASURED = "open = [980, 990, 1000, 950, 1000, 900]\nclosed = [20, 30, 40, 10, 400, 100]\n"
RELAY = '[hand]\ntransport = "arm-relay"\n'
CHEST = '[cameras.chest]\nkind = "uvc"\ndevice = "/dev/nothing"\nsize = [48, 64]\n'
TASK = load_task("cup")

Write = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "robot.toml"
        path.write_text(PATIENT + text, encoding="utf-8")
        return path

    return write


@contextlib.contextmanager
def simulated(path: Path) -> Iterator[SimulatedHardware]:
    file = read_robot(path)
    world = SimulatedHardware(file, hardware_config(file, TASK), SimConfig())
    with contextlib.closing(world):
        yield world


def examine(world: SimulatedHardware) -> dict[str, Finding]:
    """What the checks of the devices find."""
    found = examine_devices(world.file, hardware_config(world.file, TASK), world.cameras)
    return {finding.name: finding for finding in found}


def wrong(findings: dict[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if not finding.ok}


@pytest.mark.parametrize("hand", [EB90 + MEASURED, RELAY], ids=["eb90", "arm-relay"])
def test_a_robot_that_is_ready_has_nothing_to_mend(written: Write, tmp_path: Path, hand: str) -> None:
    found = {f.name: f for f in examine_robot(written(hand), TASK, tmp_path, simulated=True)}
    assert wrong(found) == set(), [f for f in found.values() if not f.ok]
    assert {
        "disk",
        "start pose",
        "arm state",
        "arm joints",
        "arm limits",
        "speed limits",
        "state age",
        "clock",
        "hand forces",
        "mounting",
    } <= set(found)
    assert "200 asked for" in found["arm state"].detail and "rendering" not in found, "no camera needs OpenGL"
    assert all(not f.remedy for f in found.values() if f.name != "disk")


@pytest.mark.gl
def test_simulated_cameras_are_looked_at(written: Write) -> None:
    with simulated(written(EB90 + CHEST)) as world:
        found = examine(world)
        assert wrong(found) == set()
        assert found["camera chest size"].detail == "48 x 64 pixels"
        camera, chest = world.cameras[0], world.file.cameras["chest"]
        size, rate, _ = checks.check_camera(camera, replace(chest, size=(64, 64)), hz=500.0)
    assert not size.ok and "64 x 64 expected" in size.remedy
    assert not rate.ok, "no camera sends 500 pictures a second"


def test_every_fault_has_a_line_of_its_own_and_a_remedy(written: Write) -> None:
    with simulated(written(EB90)) as world:
        world.arm.errors.system = 0x100D
        world.arm.enabled[2] = False
        world.hand.set_error(1, 0b1)
        world.hand.set_temperature(4, 80)
        found = examine(world)
    assert wrong(found) == {"arm errors", "hand errors", "hand temperature"}
    assert "collision" in found["arm errors"].detail and "joint 3: not enabled" in found["arm errors"].detail
    assert "ring: locked rotor" in found["hand errors"].detail
    assert "thumb_bend" in found["hand temperature"].detail
    assert all(found[name].remedy for name in wrong(found))


def test_a_file_that_allows_more_than_the_arm_does_is_told(written: Write) -> None:
    path = written(EB90)
    with simulated(path) as world:
        assert examine(world)["arm limits"].ok
        handlers = world.arm._controller._handlers
        own = dict(handlers)
        handlers["get_joint_max_pos"] = lambda _: {"state": "joint_max_pos", "max_pos": [170_000] * 6}
        assert not examine(world)["arm limits"].ok
        handlers.update(own)
        handlers["get_joint_max_speed"] = lambda _: {
            "state": "joint_max_speed",
            "joint_speed": [15_000] * 6,
        }
        slow = examine(world)["arm limits"]
        assert not slow.ok and "90 degrees/s" in slow.detail and "joint_speed" in slow.remedy
        del handlers["get_joint_max_speed"]
        assert examine(world)["arm limits"].detail == "this firmware does not say"


@pytest.mark.parametrize(
    ("told", "carried", "ok"),
    [(0, None, False), (900, None, True), (900, 1.0, True), (0.9, 1.0, True), (0.5, 1.0, False), (1300, 1.0, False)],
)
def test_a_payload_that_the_arm_was_not_told_is_told(
    written: Write, told: float, carried: float | None, ok: bool
) -> None:
    """In grams or kilograms, as the firmware has it."""
    with simulated(written(EB90)) as world:
        world.arm._controller._handlers["get_current_tool_frame"] = lambda _: {
            "state": "current_tool_frame",
            "tool_name": "hand",
            "payload": told,
        }
        world.file = replace(world.file, arm=replace(world.file.arm, payload=carried))
        file, config = world.file, hardware_config(world.file, TASK)
        found = next(f for f in examine_devices(file, config) if f.name == "arm payload")
    assert found.ok == ok and "kg" in found.detail
    assert ok or "payload" in found.remedy


def test_fingers_beyond_their_calibration_are_told(written: Write) -> None:
    with simulated(written(EB90 + MEASURED)) as world:
        hand = world.file.hand
        narrow = replace(hand.calibration, open=(600, *hand.calibration.open[1:]))
        world.file = replace(world.file, hand=replace(hand, calibration=narrow))
        found = examine(world)
    assert wrong(found) == {"hand fingers"} and "little" in found["hand fingers"].remedy
    assert "dexloop calibrate" in found["hand fingers"].remedy


def test_an_arm_that_falls_silent_hides_no_hand(written: Write) -> None:
    with simulated(written(EB90)) as world:
        world.arm.faults.silent = True
        found = examine(world)
    assert wrong(found) == {"arm"} and "firewall" in found["arm"].remedy
    assert found["hand"].ok and found["hand state"].ok


def test_an_arm_that_is_off_takes_a_relayed_hand_with_it(written: Write) -> None:
    file = read_robot(written(RELAY))
    found = {f.name: f for f in examine_devices(file, hardware_config(file, TASK))}
    assert wrong(found) == {"arm", "hand"} and found["hand"].remedy == "mend the arm first"


def test_a_mounting_that_puts_the_hand_into_the_table_is_told(written: Write) -> None:
    with simulated(written(EB90)) as world:
        config = hardware_config(world.file, TASK)
        x, y, z = config.mounting.position
        low = replace(config, mounting=replace(config.mounting, position=(x, y, z - 0.3)))
        found = {finding.name: finding for finding in examine_devices(world.file, low, world.cameras)}
    assert wrong(found) == {"mounting"} and "base_position" in found["mounting"].remedy


@pytest.mark.parametrize(
    ("home", "said"),
    [
        ("[-33.2, -88.0, -116.0, -54.7, 96.0, 70.4]", None),
        ("[0.0, 0.0, -0.5, 0.0, 1.0, 0.0]", "outside the workspace"),
        ("[-33.2, -125.0, -100.0, -54.7, 96.0, 70.4]", "table"),
    ],
)
def test_a_start_pose_is_clear_of_everything(written: Write, home: str, said: str | None) -> None:
    path = written(EB90)
    path.write_text(path.read_text().replace("confirm = false", f"confirm = false\nhome = {home}"))
    file = read_robot(path)
    finding = checks.check_start(hardware_config(file, TASK), file)
    assert finding.ok == (said is None) and (said or "clear") in finding.detail, finding


def test_a_calibration_must_be_measured_unless_the_hand_is_simulated(written: Write) -> None:
    file = read_robot(written(EB90))
    assert not checks.check_hand_calibration(file).ok and checks.check_hand_calibration(file, simulated=True).ok
    assert checks.check_hand_calibration(read_robot(written(EB90 + MEASURED))).ok
    slip = checks.check_hand_calibration(read_robot(written(EB90 + MEASURED.replace("[20,", "[900,"))))
    assert not slip.ok and "little is open at 980 and closed at 900" in slip.detail


class Lens:
    """A camera's source: pictures ``of`` a number, ten milliseconds apart."""

    intrinsics = None

    def __init__(self, of: Callable[[int], ImageArray]) -> None:
        self._of, self._number = of, 0

    def read(self, timeout: float) -> Shot:
        time.sleep(0.01)
        self._number += 1
        return Shot(self._of(self._number))

    def close(self) -> None:
        """Nothing is open."""


def noisy(high: int) -> Callable[[int], ImageArray]:
    return lambda number: np.random.default_rng(number).integers(0, high, (48, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("pictures", "bad"),
    [(noisy(200), ""), (noisy(3), "picture"), (lambda _: noisy(200)(0), "frozen")],
    ids=["good", "cap on", "frozen"],
)
def test_dark_and_frozen_cameras_are_told(written: Write, pictures: Callable[[int], ImageArray], bad: str) -> None:
    section = read_robot(written(EB90 + CHEST)).cameras["chest"]
    with contextlib.closing(LiveCamera("chest", lambda: Lens(pictures))) as camera:
        found = {
            f.name: f
            for f in checks.attempt("camera chest", lambda: checks.check_camera(camera, section, 5.0), "the cable")
        }
    if bad == "frozen":
        assert wrong(found) == {"camera chest"} and "same picture" in found["camera chest"].detail
    else:
        assert wrong(found) == ({f"camera chest {bad}"} if bad else set())


def test_an_hour_of_pictures_needs_its_room(written: Write, tmp_path: Path) -> None:
    small = read_robot(written(EB90))
    huge = read_robot(
        written(
            EB90
            + CHEST.replace("size = [48, 64]", "crop = [0, 80, 480, 480]\nsize = [4096, 4096]")
            + "[control]\nhz = 50.0\n"
        )
    )
    assert checks.check_hour(small, tmp_path).ok
    finding = checks.check_hour(huge, tmp_path)
    assert "free 8437." in finding.remedy or finding.ok, "50 Hz of 48 MiB pictures are 8437.7 GiB an hour"


def test_the_command_fails_for_a_robot_that_is_off(written: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(written(EB90 + CHEST))]) == 1
    said = capsys.readouterr().err
    for device in ("arm", "hand", "camera chest", "hand calibration"):
        assert f"MEND {device}: " in said
    assert "ok   start pose" in said


def test_a_file_that_is_misspelt_is_one_line(written: Write, tmp_path: Path) -> None:
    found = examine_robot(written(EB90 + "spede = 0.3\n"), TASK, tmp_path)
    assert [f.name for f in found if not f.ok] == ["robot file"] and "spede" in found[-1].detail


def test_simulated_hardware_needs_a_file() -> None:
    assert main(["--simulate-hardware"]) == 1
    with pytest.raises(DexloopError, match="--config"):
        doctor(simulate_hardware=True)


def test_the_command_runs_without_pytorch(written: Write) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['dexloop', 'doctor', '--config', {str(written(EB90 + MEASURED))!r}, '--simulate-hardware']\n"
        "from dexloop.__main__ import main\n"
        "status = main()\n"
        "sys.exit('torch' if 'torch' in sys.modules else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "ok   hand state" in done.stderr, done.stderr
