"""A minute of random faults while the scripted operator works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.chaos_judge import actions_begun, setpoints_beyond

from dexloop.robot.robot_file import RobotFile, read_robot
from dexloop.robot.simulators.journal import BEGUN, HOMING, SETPOINT, STARTED, Journal

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="clocks of processes are compared, as Linux allows")
def test_a_minute_of_chaos_loses_nothing_and_exceeds_nothing(tmp_path: Path) -> None:
    out = tmp_path / "chaos.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", "--seconds=60", "--seed=2", f"--out={out}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    summary = json.loads(out.read_text(encoding="utf-8"))
    assert summary["violations"] == []
    assert summary["faults"] >= 6 and summary["episodes_finished"] >= 1
    assert summary["setpoints"] > 600 and summary["actions_executed"] > 100
    assert summary["episodes_lost"] == 0 and summary["setpoints_beyond_a_limit"] == {}
    assert summary["actions_executed_after_expiry"] == 0


HOME = [-0.13, -1.92, -1.41, -0.56, 1.60, 1.47, *[0.0] * 6]


def test_the_judges_see_what_is_wrong(tmp_path: Path) -> None:
    """A journal with one jump, and one action that began late."""
    file = robot(tmp_path)
    for name, jump in (("calm", 0.0), ("jump", 0.2)):
        journal = Journal(tmp_path / name)
        for k in range(10):
            journal.note(float(k), SETPOINT, [HOME[0] + jump * (k == 5), *HOME[1:]])
        journal.note(0.0, BEGUN, (0.1, 1.0))
        journal.note(10.0, BEGUN, (9.9, 2.0) if jump else (10.1, 2.0))
        journal.close()
    assert setpoints_beyond(tmp_path / "calm", file) == (10, {})
    beyond = setpoints_beyond(tmp_path / "jump", file)[1]
    assert beyond["speed"] == beyond["speed of a point"] == 2, "there and back"
    assert actions_begun(tmp_path / "calm", 0.02) == (2, 0)
    assert actions_begun(tmp_path / "jump", 0.02) == (2, 1)


@pytest.mark.parametrize(
    ("joint", "way", "limit", "at_home"),
    [
        (4, 1.2, "cone", False),
        (1, -0.6, "singularity", False),
        (1, -0.6, "fingers and table", True),
        (0, 1.2, "workspace", True),
    ],
)
def test_a_place_that_an_episode_must_not_lead_to_is_seen(
    tmp_path: Path, joint: int, way: float, limit: str, at_home: bool
) -> None:
    """A joint that goes there slowly; the hand may tilt on the way home, and meet things nowhere."""
    file = robot(tmp_path)
    for name, begins in (("episode", STARTED), ("home", HOMING)):
        journal = Journal(tmp_path / name)
        journal.note(0.0, SETPOINT, HOME)
        journal.note(0.0, begins)
        for k in range(200):
            at = HOME.copy()
            at[joint] += way * k / 199
            journal.note(0.01 * k, SETPOINT, at)
        journal.close()
    assert setpoints_beyond(tmp_path / "episode", file)[1][limit] > 0
    assert (setpoints_beyond(tmp_path / "home", file)[1][limit] > 0) == at_home


def robot(folder: Path) -> RobotFile:
    path = folder / "robot.toml"
    text = '[arm]\nhost = "192.0.2.1"\n[hand]\ntransport = "arm-relay"\n[reset]\nconfirm = false\n'
    path.write_text(text, encoding="utf-8")
    return read_robot(path)
