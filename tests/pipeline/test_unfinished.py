"""An evaluation that a broken robot, or the person, ends in the middle: kept, and gone on with by the same command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dexloop.algorithms.bc import CloningConfig
from dexloop.config import RecordConfig, RunConfig
from dexloop.core import Policy
from dexloop.errors import DexloopError
from dexloop.pipeline import verbs
from dexloop.pipeline.run import Run
from dexloop.presets import PRESETS
from dexloop.robot.gym import GymRobot
from dexloop.runtime.run_directory import RunDirectory
from dexloop.seeds import Purpose, episode_seed
from tests.lift import GRASPED, Lift, lift

CONFIG = replace(
    PRESETS["smoke"],
    observation="privileged",
    reward="simulation",
    operator="tests.pipeline.test_unfinished:make_policy",
    record=RecordConfig(episodes=1, tail_seconds=0.0),
    cloning=CloningConfig(updates=200),
    trials=12,
)
TEST = [episode_seed(Purpose.TEST, 0, trial) for trial in range(40)]
BROKEN = dict.fromkeys(TEST[2:], 1)


def make_policy(spec: object) -> Policy:
    return GRASPED


def on(run: Run, config: RunConfig = CONFIG, **options: Any) -> tuple[Run, Lift]:
    """The same run with another robot, as after a repair."""
    env, robot = lift(**options)
    return Run(run.directory, config, robot), env


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A clone, and the same once more as the trained policy."""
    made = Run(RunDirectory(tmp_path / "run"), CONFIG, lift()[1])
    made.record()
    made.pretrain()
    made.directory.policy.parent.mkdir()
    made.directory.policy.write_bytes(made.directory.prior.read_bytes())
    return made


def entries(run: Run) -> dict[str, dict[str, Any]]:
    return {entry["policy"]: entry for entry in json.loads(run.directory.evaluation.read_text())}


def without_times(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "wall_seconds"}


def test_finished_trials_are_kept_and_the_same_command_does_the_others(run: Run) -> None:
    verbs.evaluate(on(run)[0], None, blank=False)
    at_once = entries(run)
    run.directory.evaluation.unlink()

    broken, env = on(run, broken=BROKEN)
    with pytest.raises(DexloopError, match=r"after 2 of 12 trials; see to the robot; they are kept, the same command"):
        verbs.evaluate(broken, None, blank=False)
    kept = entries(run)
    assert env.seeds == TEST[:12] and "iborl" not in kept
    assert kept["bc"]["trials"] == 2 and kept["bc"]["steps"] == at_once["bc"]["steps"][:2]
    assert kept["bc"]["unfinished"]["trials"] == 12 and "watchdog" in kept["bc"]["unfinished"]["why"]

    mended, env = on(run)
    verbs.evaluate(mended, None, blank=False)
    assert env.seeds == [*TEST[2:12], *TEST[:12]], "the clone's other trials, then the policy's"
    assert {k: without_times(v) for k, v in entries(run).items()} == {k: without_times(v) for k, v in at_once.items()}


def test_what_was_finished_before_it_broke_is_not_done_again(run: Run) -> None:
    mended, env = on(run)
    file = run.directory.prior
    mended.evaluate("bc", GRASPED, 0.0, file)
    broken, _ = on(run, broken=BROKEN)
    with pytest.raises(DexloopError, match="after 2 of 12 trials; see to the robot; they are kept"):
        broken.evaluate("iborl", GRASPED, 1.0, run.directory.policy)
    env.seeds.clear()
    verbs.evaluate(mended, None, blank=False)
    assert env.seeds == TEST[2:12]
    verbs.evaluate(mended, None, blank=False)
    assert env.seeds == [*TEST[2:12], *TEST[:12], *TEST[:12]], "nothing is unfinished any more, so all is done anew"


@pytest.mark.parametrize(("added", "trials"), [(b"learned", 12), (b"", 1)], ids=["another policy", "fewer trials"])
def test_what_was_finished_of_something_else_does_not_count(run: Run, added: bytes, trials: int) -> None:
    broken, _ = on(run, broken=BROKEN)
    file = run.directory.policy
    with pytest.raises(DexloopError, match="after 2 of 12 trials"):
        broken.evaluate("iborl", GRASPED, 1.0, file)
    file.write_bytes(file.read_bytes() + added)
    again, env = on(run, replace(CONFIG, trials=trials))
    again.evaluate("iborl", GRASPED, 1.0, file)
    assert env.seeds == TEST[:trials] and "unfinished" not in entries(run)["iborl"]


def test_a_whole_evaluation_is_not_given_up_for_part_of_one(run: Run) -> None:
    file = run.directory.policy
    on(run)[0].evaluate("iborl", GRASPED, 1.0, file)
    before = run.directory.evaluation.read_bytes()
    broken, _ = on(run, broken=BROKEN)
    with pytest.raises(DexloopError, match=r"after 2 of 12 trials; .* the earlier evaluation of the same policy stays"):
        broken.evaluate("iborl", GRASPED, 1.0, file)
    assert run.directory.evaluation.read_bytes() == before


def test_without_a_finished_trial_nothing_is_written(run: Run) -> None:
    broken, _ = on(run, broken=dict.fromkeys(TEST, 1))
    with pytest.raises(DexloopError, match=r"after 0 of 12 trials; see to the robot$"):
        broken.evaluate("bc", GRASPED, 0.0, run.directory.prior)
    assert not run.directory.evaluation.exists()


class Killed(Lift):
    """Ends with Ctrl-C in the third episode."""

    def reset(self, **options: Any) -> Any:
        if len(self.seeds) == 2:
            raise KeyboardInterrupt
        return super().reset(**options)


def test_what_was_finished_when_the_program_ended_is_kept(run: Run) -> None:
    killed = Run(run.directory, CONFIG, GymRobot(Killed(), name="lift", task="lift-up"))
    with pytest.raises(KeyboardInterrupt):
        verbs.evaluate(killed, None, blank=False)
    kept = entries(run)["bc"]
    assert kept["trials"] == 2 and kept["unfinished"] == {"trials": 12, "why": "interrupted"}

    mended, env = on(run)
    verbs.evaluate(mended, None, blank=False)
    assert env.seeds == [*TEST[2:12], *TEST[:12]]
    assert entries(run)["bc"]["trials"] == 12 and "unfinished" not in entries(run)["bc"]


def test_a_whole_evaluation_stays_until_another_is_as_long(run: Run) -> None:
    file = run.directory.policy
    on(run)[0].evaluate("iborl", GRASPED, 1.0, file)
    before = run.directory.evaluation.read_bytes()
    killed = Run(run.directory, CONFIG, GymRobot(Killed(), name="lift", task="lift-up"))
    with pytest.raises(KeyboardInterrupt):
        killed.evaluate("iborl", GRASPED, 1.0, file)
    assert run.directory.evaluation.read_bytes() == before
