"""``dexloop calibrate``: a person answers, and the simulated devices are measured through their sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dexloop import DexloopError
from dexloop.calibrate import STEPS, Step, changed, guide, main
from dexloop.robot.calibration_bench import Bench, Change, Person, connect
from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.inspire.calibration import Calibration
from dexloop.robot.hand_calibration import FingerMotion
from dexloop.robot.mounting_fit import Touch, fit_mounting
from dexloop.robot.open_robot import hardware_config
from dexloop.robot.placing import index_tip
from dexloop.robot.robot_file import read_robot
from dexloop.robot.simulated_hardware import SimulatedHardware
from dexloop.robot.toml_edit import with_value, write_new
from dexloop.sim.config import SimConfig
from dexloop.sim.hand import FINGER_NAMES
from dexloop.sim.rotations import rotation_matrix, yaw_matrix
from dexloop.sim.scene import Mounting
from dexloop.sim.tasks.base import load_task

TEXT = """# my robot
[arm]
host = "127.0.0.1"
port = 1
base_position = [-0.09, -0.17, 0.135]  # m, by a ruler
# base_rotation = [0.0, 0.0, 0.0]
[hand]
transport = "eb90"
device = "/dev/nothing"
timeout = 0.5
open = [1000, 1000, 1000, 1000, 1000, 1000]   # the factory's
[safety]
overrun = 5.0
stale = 2.0
[reset]
# home = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]  # degrees
confirm = true
"""
TRUE = Calibration((980, 990, 1000, 950, 1000, 900), (20, 30, 40, 10, 400, 100))
TASK = load_task("cup")
QUICK = FingerMotion(speed=1.0, begin=0.5, still=0.3, zeroing=3.5)


class Script:
    """A person who gives these answers, and does before each what a function says; raises EOFError after the last."""

    def __init__(self, *answers: str | Callable[[], str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []
        self.told: list[str] = []
        self.person = Person(self._answer, self.told.append)

    def _answer(self, question: str) -> str:
        self.asked.append(question)
        if not self._answers:
            raise EOFError
        answer = self._answers.pop(0)
        return answer if isinstance(answer, str) else answer()

    @property
    def all_given(self) -> bool:
        return not self._answers

    def heard(self) -> str:
        return "\n".join(self.told)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "robot.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


@contextlib.contextmanager
def rig(path: Path) -> Iterator[tuple[SimulatedHardware, Bench]]:
    """Simulated devices whose fingers are ``TRUE``, and a bench that knows only the file."""
    file = read_robot(path)
    real = replace(file, hand=replace(file.hand, calibration=TRUE))
    world = SimulatedHardware(real, hardware_config(file, TASK), SimConfig())
    with contextlib.closing(world), contextlib.ExitStack() as opened:
        known = replace(world.file, hand=replace(world.file.hand, calibration=file.hand.calibration))
        yield world, connect(known, "cup", opened, QUICK)


def run(bench: Bench, script: Script, *steps: Step) -> list[Change]:
    return guide(bench, script.person, steps or STEPS)


def test_fingers_are_driven_to_their_ends_and_read(path: Path) -> None:
    with rig(path) as (_, bench):
        script = Script("perhaps", "move", "no", "move", "yes", "yes")
        changes = run(bench, script, "fingers")
    assert script.all_given and "'perhaps' is none of the answers" in script.heard()
    assert "little: open 1000 -> 9" in script.heard() and "ANGLE_ACT" in script.heard()
    path.write_text(changed(path, changes), encoding="utf-8")
    found = read_robot(path).hand.calibration
    assert np.abs(np.subtract(found.open, TRUE.open)).max() <= 15
    assert np.abs(np.subtract(found.closed, TRUE.closed)).max() <= 15
    assert "  # the factory's" in path.read_text(), "comments stay"


def test_fingers_stay_where_they_are_without_a_yes(path: Path) -> None:
    with rig(path) as (world, bench):
        before = world.robot.fingers()
        assert run(bench, Script("move", "no", "skip"), "fingers") == []
        time.sleep(0.3)
        assert np.abs(world.robot.fingers() - before).max() < 0.01


def test_a_person_brings_the_fingers_and_a_slip_is_refused(path: Path) -> None:
    with rig(path) as (_, bench):

        def bring(raw: Calibration, end: float) -> Callable[[], str]:
            def do() -> str:
                six = np.ones(6)
                bench.hand.command(1.0 - np.array(raw.open if end == 0.0 else raw.closed) / 1000.0, six, 5.0 * six)
                time.sleep(1.5)
                return ""

            return do

        script = Script("read", "", "", "read", bring(TRUE, 0.0), bring(TRUE, 1.0), "yes")
        changes = run(bench, script, "fingers")
    assert script.all_given and "this cannot be right" in script.heard()
    assert [change.key for change in changes] == ["open", "closed"]
    assert np.abs(np.subtract(bench.file.hand.calibration.closed, TRUE.closed)).max() <= 15


def test_a_jammed_finger_ends_it_and_the_others_rest(path: Path) -> None:
    with rig(path) as (world, bench):
        world.hand.jam(3)
        with pytest.raises(DeviceError, match="index: locked rotor"):
            run(bench, Script("move", "yes"), "fingers")
        before = world.robot.fingers()
        time.sleep(0.4)
        assert np.abs(world.robot.fingers() - before).max() < 0.05


def test_forces_at_rest_are_shown_and_change_nothing(path: Path) -> None:
    with rig(path) as (_, bench):
        script = Script("", "skip")
        assert run(bench, script, "forces") == []
    assert script.heard().count(" N, deviation ") == 6


def test_a_force_zero_that_has_drifted_is_set_by_the_hand_after_a_yes(path: Path) -> None:
    with rig(path) as (world, bench):
        world.hand.drift(np.array([0.0, 0.0, 1.2, 0.0, -0.9, 0.0]))
        assert run(bench, (refusing := Script("", "no")), "forces") == []
        assert f"{FINGER_NAMES[2]}, {FINGER_NAMES[4]}: more than 0.5 N" in refusing.heard()
        assert bench.hand.state().force[2] == pytest.approx(1.2, abs=0.02)
        assert run(bench, Script("", "yes", ""), "forces") == []
        assert np.abs(bench.hand.state().force).max() < 0.02


def test_the_table_gives_the_height_of_the_base(path: Path) -> None:
    """As if the table were where the fingertip is now."""
    with rig(path) as (_, bench):
        config = hardware_config(bench.file, TASK)
        height = index_tip(config, bench.arm.state().joints, bench.fingers())[2]
        changes = run(bench, Script("three words here", "3.0 9.0", "", "yes"), "base")
    assert [change.key for change in changes] == ["base_position"], "one touch shows no turn"
    path.write_text(changed(path, changes), encoding="utf-8")
    assert read_robot(path).arm.mounting.position == pytest.approx((-0.09, -0.17, 0.135 - height), abs=1e-4)
    assert "# m, by a ruler" in path.read_text()


def test_marks_give_place_and_turn_of_the_base() -> None:
    """The true base is turned by 4 degrees and shifted; touches as the old one sees them lead to it."""
    old, turn = Mounting(), yaw_matrix(np.radians(4.0))
    move = np.array([0.02, -0.03, 0.011])
    marks = np.array([[0.3, 0.1, 0.0], [0.5, 0.1, 0.0], [0.4, -0.2, 0.0]])
    tips = (marks - move) @ turn
    fit = fit_mounting(old, [Touch(tip, (mark[0], mark[1])) for tip, mark in zip(tips, marks, strict=True)])
    assert fit.worst < 1e-9
    assert fit.mounting.position == pytest.approx(tuple(turn @ np.array(old.position) + move))
    assert rotation_matrix(fit.mounting.rotation) == pytest.approx(turn @ rotation_matrix(old.rotation), abs=1e-9)


def test_one_mark_moves_the_base_and_does_not_turn_it() -> None:
    fit = fit_mounting(Mounting(rotation=(0.0, 0.0, 0.5)), [Touch(np.array([0.3, 0.1, 0.02]), (0.31, 0.08))])
    assert fit.mounting.rotation == pytest.approx((0.0, 0.0, 0.5))
    assert np.subtract(fit.mounting.position, Mounting().position) == pytest.approx([0.01, -0.02, -0.02])


def test_marks_that_disagree_are_asked_for_again(path: Path) -> None:
    with rig(path) as (_, bench):
        script = Script("0.40 0.02", "0.60 0.02", "done", "skip")
        assert run(bench, script, "base") == []
    assert "touches disagree by 100 mm" in script.heard() and script.all_given


def test_the_pose_that_the_arm_was_guided_to_becomes_home(path: Path) -> None:
    with rig(path) as (world, bench):
        start = world.robot.joints()

        def guide_to(joints: np.ndarray, settle: float) -> Callable[[], str]:
            def do() -> str:
                for share in np.linspace(0.0, 1.0, 20):
                    world.robot.command_joints(start + share * (joints - start))
                    time.sleep(0.02)
                time.sleep(settle)
                return ""

            return do

        there = start + np.radians([5.0, 0.0, 4.0, 0.0, 0.0, 0.0])
        outside = start + np.radians([70.0, 0.0, 0.0, 0.0, 0.0, 0.0])
        script = Script(guide_to(outside, 2.0), guide_to(there, 2.0), "yes")
        changes = run(bench, script, "home")
        measured = world.robot.joints()
    assert script.all_given and "no episode can start there" in script.heard()
    text = changed(path, changes)
    path.write_text(text, encoding="utf-8")
    home = read_robot(path).reset.home
    assert home is not None and np.abs(np.array(home) - measured).max() < np.radians(0.1)
    assert "# home = [0.0" in text and text.index("# home") < text.index("\nhome = [") < text.index("confirm")


def test_a_moving_arm_is_waited_for(path: Path) -> None:
    with rig(path) as (world, bench):
        start, ended = world.robot.joints(), threading.Event()

        def sway() -> None:
            while not ended.is_set():
                world.robot.command_joints(start + 0.1 * np.sin(3.0 * time.monotonic()))
                time.sleep(0.02)

        swaying = threading.Thread(target=sway)
        swaying.start()
        script = Script("", "skip")
        assert run(bench, script, "home") == []
        ended.set()
        swaying.join()
    assert "the arm still moves" in script.heard()


@pytest.mark.parametrize(
    ("answers", "steps"),
    [(["move"], "fingers"), (["0.4 0.02"], "base"), ([""], "home"), ([], "forces")],
    ids=["fingers", "base", "home", "forces"],
)
def test_ctrl_c_changes_nothing(
    path: Path, answers: list[str], steps: Step, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> str:
        raise KeyboardInterrupt

    given: list[str | Callable[[], str]] = [*answers, interrupt]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.input", Script(*given).person.ask)
        assert main(["--config", str(path), "--simulate-hardware", "--steps", steps]) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert [entry.name for entry in path.parent.iterdir()] == ["robot.toml"] and path.read_text() == TEXT


def test_ctrl_c_while_fingers_move_stops_them(path: Path) -> None:
    with rig(path) as (world, bench):
        bench.motion = replace(QUICK, speed=0.1)

        def later() -> None:
            while world.robot.fingers()[:4].min() < 0.2:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        script = Script("move", "yes")
        threading.Thread(target=later, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            run(bench, script, "fingers")
        time.sleep(0.5)
        before = world.robot.fingers()
        time.sleep(0.5)
        after = world.robot.fingers()
    assert np.abs(after - before).max() < 0.02 and after[:4].max() < 0.9, "far from closed, and at rest"


def test_the_whole_way_at_a_terminal_without_pytorch(path: Path) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['dexloop', 'calibrate', '--config', {str(path)!r}, '--simulate-hardware']\n"
        "from dexloop.__main__ import main\n"
        "status = main()\n"
        "sys.exit('torch' if 'torch' in sys.modules else status)"
    )
    answers = "skip\nskip\nskip\n\nyes\n"
    done = subprocess.run([sys.executable, "-c", code], input=answers, capture_output=True, text=True, timeout=120)
    new = path.with_name("robot-calibrated.toml")
    assert done.returncode == 0 and str(new) in done.stdout, done.stderr
    assert read_robot(new).reset.home is not None and path.read_text() == TEXT
    again = subprocess.run([sys.executable, "-c", code], input=answers, capture_output=True, text=True, timeout=120)
    assert again.returncode == 1 and "not overwritten" in again.stderr


def test_a_terminal_that_closes_writes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", Script("skip").person.ask)
    assert main(["--config", str(path), "--simulate-hardware"]) == 1
    assert [entry.name for entry in path.parent.iterdir()] == ["robot.toml"]


def test_a_device_that_is_off_is_told_in_one_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert [entry.name for entry in path.parent.iterdir()] == ["robot.toml"]


def test_a_hand_that_loses_its_wire_ends_it(path: Path) -> None:
    with rig(path) as (world, bench):

        def pull() -> str:
            world.close()
            return ""

        with pytest.raises(DeviceError):
            run(bench, Script(pull), "forces")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a]\nk = [1, 2]  # c\n", "[a]\nk = [9]  # c\n"),
        ("[a]\nk = [\n  1, # one\n  2,\n]\nl = 3\n", "[a]\nk = [9]\nl = 3\n"),
        ("[b]\nk = 1\n[a]\n# k = 2\nl = 3\n[c]\nk = 4\n", "[b]\nk = 1\n[a]\n# k = 2\nk = [9]\nl = 3\n[c]\nk = 4\n"),
        ("[a]\nkk = 1", "[a]\nk = [9]\nkk = 1"),
        ("[a]", "[a]\nk = [9]\n"),
        ("[b]\nk = 1\n", "[b]\nk = 1\n\n[a]\nk = [9]\n"),
        ("", "[a]\nk = [9]\n"),
    ],
)
def test_a_value_is_put_where_it_belongs(text: str, expected: str) -> None:
    assert with_value(text, "a", "k", "[9]") == expected


def test_a_form_that_cannot_be_filled_in_is_refused_with_the_values(path: Path) -> None:
    path.write_text('arm = { host = "127.0.0.1" }\n[hand]\ntransport = "arm-relay"\n[reset]\nconfirm = true\n')
    with pytest.raises(DexloopError, match=r"write yourself: \[arm\] base_position = \[1.0, 2.0, 0.0\]"):
        changed(path, [Change("arm", "base_position", "[1.0, 2.0, 0.0]", "m")])


def test_no_file_is_overwritten(path: Path) -> None:
    with pytest.raises(DexloopError, match="not overwritten"):
        write_new(path, "")
    assert path.read_text() == TEXT
