"""The file that describes a real robot: what it says is what drivers get, and what is wrong in it is named."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from dexloop import DexloopError
from dexloop.robot.drivers.cameras import RealSenseConfig, UvcConfig
from dexloop.robot.open_robot import control_config, hardware_config
from dexloop.robot.robot_file import _SAFETY, RobotFile, read_robot
from dexloop.robot.safety import SafetyLimits
from dexloop.sim.hand import EE_IN_HAND, FLANGE_TO_HAND
from dexloop.sim.kinematics import ArmKinematics, pose
from dexloop.sim.rotations import yaw_matrix
from dexloop.sim.tasks.base import load_task

EXAMPLE = Path(__file__).parents[2] / "docs" / "robot.example.toml"
SMALLEST = """
[arm]
host = "192.168.1.18"
[hand]
transport = "modbus-tcp"
[reset]
confirm = false
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "robot.toml"


def read(file: Path, text: str) -> RobotFile:
    file.write_text(text, encoding="utf-8")
    return read_robot(file)


def test_the_smallest_file_has_the_default_of_everything_else(file: Path) -> None:
    robot = read(file, SMALLEST)
    assert (robot.arm.host, robot.arm.port, robot.arm.push_port, robot.arm.period) == ("192.168.1.18", 8080, 8089, 0.02)
    assert (robot.hand.host, robot.hand.port, robot.hand.id) == ("192.168.11.210", 6000, 1)
    assert robot.hand.turn == pytest.approx(math.pi)
    assert robot.cameras == {} and robot.reset.home is None
    for name in SafetyLimits.__dataclass_fields__:
        np.testing.assert_allclose(getattr(robot.safety, name), getattr(SafetyLimits(), name), rtol=1e-12)


def test_a_real_robot_moves_only_as_fast_as_its_file_says(file: Path) -> None:
    with pytest.raises(DexloopError, match="gives no joint_speed, point_speed, contact_speed, finger_speed"):
        read(file, SMALLEST).check_speeds()
    some = "[safety]\njoint_speed = 20.0\npoint_speed = 0.3\ncontact_speed = 0.1\n"
    with pytest.raises(DexloopError, match="gives no finger_speed, which would mean full speed"):
        read(file, SMALLEST + some).check_speeds()
    read(file, SMALLEST + some + "finger_speed = 0.5\n").check_speeds()
    read_robot(EXAMPLE).check_speeds()


def test_every_limit_has_a_key() -> None:
    elsewhere = {"joint_range", "workspace_low", "workspace_high", "chest"}
    assert set(_SAFETY) | elsewhere == set(SafetyLimits.__dataclass_fields__)


def test_the_example_is_a_robot_file() -> None:
    robot = read_robot(EXAMPLE)
    chest, head = robot.cameras["chest"].driver, robot.cameras["head"].driver
    assert isinstance(chest, RealSenseConfig) and isinstance(head, UvcConfig)
    assert chest.view.crop == (0, 80, 480, 480) and robot.cameras["chest"].size == (64, 64)
    assert robot.reset.confirm
    assert robot.safety.joint_speed == pytest.approx(math.radians(20.0))


def test_what_the_example_has_commented_out_is_the_default(file: Path) -> None:
    """But for the keys of other transports and cameras, and those that say that they have no fixed default."""
    others = {"device", "host", "port", "id", "follow", "opened", "home", "fingers", "mode", "fps", "fourcc"}
    others |= {"hand_view", "intrinsics", "payload"}
    lines: list[str] = []
    uncommented = 0
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        found = re.match(r"# (\w+) = ", line)
        if found and found[1] not in others:
            line, uncommented = line[2:], uncommented + 1
        lines.append(line)
    assert uncommented > 30
    assert rounded(read(file, "\n".join(lines))) == rounded(read_robot(EXAMPLE))


def rounded(robot: RobotFile) -> str:
    """All of it, numbers to three digits."""
    return re.sub(r"\d+\.\d+(e-\d+)?", lambda number: f"{float(number[0]):.3g}", repr(robot))


@pytest.mark.parametrize(
    ("section", "body"),
    [
        ("arm", 'host = "x"'),
        *(("hand", f'transport = "{name}"\ndevice = "x"') for name in ("eb90", "modbus-rtu")),
        *(("hand", f'transport = "{name}"') for name in ("modbus-tcp", "arm-relay")),
        ("cameras.head", 'kind = "realsense"\nserial = "x"'),
        *(("cameras.head", f'kind = "{name}"\ndevice = "x"') for name in ("uvc", "zed2")),
        ("control", ""),
        ("workspace", ""),
        ("safety", ""),
        ("reset", "confirm = true"),
    ],
)
def test_every_key_there_is_stands_in_the_example(file: Path, section: str, body: str) -> None:
    others = {"arm": 'host = "x"', "hand": 'transport = "modbus-tcp"', "reset": "confirm = true"}
    sections = others | {section: f"{body}\nno_such_key = 1"}
    with pytest.raises(DexloopError, match=rf"\[{section}\]: no_such_key") as caught:
        read(file, "\n".join(f"[{name}]\n{keys}" for name, keys in sections.items()))
    keys = str(caught.value).partition("there are: ")[2].split(", ")
    text = EXAMPLE.read_text(encoding="utf-8")
    assert [key for key in keys if not re.search(rf"^(# )?{key} = ", text, re.MULTILINE)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[arm", r"robot.toml: Expected '\]'"),
        ("", "robot.toml: arm is missing"),
        ("[arm]", r"robot.toml, \[arm\]: host is missing"),
        ('[arm]\nhots = "1"', r"\[arm\]: host is missing \(does hots mean it\?\)"),
        ("arm = 3", r"arm must be a section: write \[arm\]"),
        ('[arm]\nhost = "1"\nprot = 8080', r"\[arm\]: prot: there is no such one \(did you mean port\?\)"),
        ('[arm]\nhost = "1"\npayload = 900', r"\[arm\] payload: must be a number from 0.1 to 5 kg, got 900"),
        ('[arm]\nhost = "1"\nport = 70000', r"\[arm\] port: must be a whole number from 1 to 65535, got 70000"),
        ('[arm]\nhost = "1"\nport = true', r"\[arm\] port: must be a whole number"),
        ("[arm]\nhost = 7", r"\[arm\] host: must be some text in quotes, got 7"),
        ('[arm]\nhost = "1"\nperiod = nan', r"\[arm\] period: must be a number from 0.01 to 0.1 s, got nan"),
        ('[arm]\nhost = "1"\nbase_position = [0, 0]', r"\[arm\] base_position: must be 3 numbers in m"),
        ('[arm]\nhost = "1"\nbase_position = [0, 0, 90]', r"base_position: must be from -2 to 2 m in place 3"),
        (SMALLEST + "[rset]\n", "rset: there is no such one .did you mean reset"),
        (SMALLEST + "[safety]\njoint_speed = 500", r"\[safety\] joint_speed: must be a number from 1 to 180 degrees/s"),
        (SMALLEST + "[safety]\npoint_speed = 0.1", r"\[safety\]: .*contact_speed must not exceed point_speed"),
        (SMALLEST + "[workspace]\nlow = [0.5, 0, 0]\nhigh = [0.4, 0.1, 0.1]", r"\[workspace\]: the workspace is empty"),
        (SMALLEST + "[cameras.chset]\n", r"\[cameras\]: chset: .*did you mean chest"),
        (SMALLEST + '[cameras.head]\nkind = "zed"', r"\[cameras.head\] kind: must be one of realsense, uvc, zed2"),
        (SMALLEST + '[cameras.head]\nkind = "uvc"\nserial = "1"', r"\[cameras.head\]: device is missing"),
        (
            SMALLEST + '[cameras.head]\nkind = "uvc"\ndevice = "x"\nposition = [0, 0, 1]\ntarget = [0, 0, 0]',
            "target lies straight above or below the camera",
        ),
        (SMALLEST.replace("false", "0"), r"\[reset\] confirm: must be true or false, got 0"),
        (SMALLEST + "home = [0, 0, -140, 0, 0, 0]", r"\[reset\] home: must be from -135 to 135 degrees in place 3"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(file: Path, text: str, words: str) -> None:
    with pytest.raises(DexloopError, match=words) as caught:
        read(file, text)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(file))


@pytest.mark.parametrize(
    ("hand", "words"),
    [
        ('transport = "eb90"', "device is missing"),
        ('transport = "eb90"\ndevice = "/dev/ttyUSB0"\nhost = "1"', "host: there is no such one"),
        ('transport = "serial"', "must be one of eb90, modbus-rtu, modbus-tcp, arm-relay, got 'serial'"),
        ('transport = "arm-relay"\nopen = [1000, 1000, 1000, 1000, 1000, 1000]', "open: there is no such one"),
        ('transport = "modbus-tcp"\nclosed = [0, 0, 0, 0, 0, 1000]', "a finger at the value at which it is open"),
        ('transport = "modbus-tcp"\nforce = 20', "force: must be a number from 0.5 to 9.8 N"),
    ],
)
def test_a_hand_takes_the_keys_of_its_transport(file: Path, hand: str, words: str) -> None:
    with pytest.raises(DexloopError, match=words) as caught:
        read(file, SMALLEST.replace('transport = "modbus-tcp"', hand))
    assert "[hand]" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DexloopError, match=r"none.toml: cannot be read: No such file"):
        read_robot(tmp_path / "none.toml")


def test_degrees_become_radians_and_reach_the_controller(file: Path) -> None:
    text = SMALLEST + "home = [0, -90, -60, 0, 45, 10]\nspeed = 15\n[control]\nhz = 20\nangular_speed = 45\n"
    robot, task = read(file, text), load_task("cup")
    hardware, control = hardware_config(robot, task), control_config(robot, task, 5.0, 8.0)
    np.testing.assert_allclose(hardware.home, np.radians([0, -90, -60, 0, 45, 10]))
    assert hardware.fingers == task.fingers and hardware.control_hz == 20.0
    assert control.homing_speed == pytest.approx(math.radians(15.0))
    assert control.limits.angular_speed == pytest.approx(math.radians(45.0))
    assert (control.max_steps, control.reset_seconds) == (100, 8.0)


def test_without_a_home_episodes_start_where_the_task_does(file: Path) -> None:
    base = "base_position = [-0.07, -0.19, 0.120]\nbase_rotation = [0, 0, 5]\n"
    robot = read(file, SMALLEST.replace("[hand]", base + "[hand]"))
    task = load_task("cup")
    tool = pose(FLANGE_TO_HAND @ EE_IN_HAND, FLANGE_TO_HAND)
    kinematics = ArmKinematics(robot.arm.mounting.transform(), tool)
    reached = kinematics.forward(hardware_config(robot, task).home)
    np.testing.assert_allclose(reached, pose(task.ee_position, task.ee_rotation), atol=1e-3)
    far = read(file, SMALLEST.replace("[hand]", "base_position = [-1.5, 0, 0]\n[hand]"))
    with pytest.raises(DexloopError, match="does not reach the start of task 'cup'"):
        hardware_config(far, task)


@pytest.mark.parametrize("mounted", ["turn = 165", "end_effector = [0.02, 0.01, 0.13]"])
def test_the_start_is_where_a_hand_that_is_mounted_otherwise_reaches_it(file: Path, mounted: str) -> None:
    hardware = hardware_config(read(file, SMALLEST.replace("[reset]", mounted + "\n[reset]")), load_task("cup"))
    task, turn = load_task("cup"), yaw_matrix(hardware.turn)
    tool = pose(turn @ np.array(hardware.end_effector), turn)
    reached = ArmKinematics(hardware.mounting.transform(), tool).forward(np.array(hardware.home))
    np.testing.assert_allclose(reached, pose(task.ee_position, task.ee_rotation), atol=1e-3)
