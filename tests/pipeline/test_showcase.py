"""A recorded episode done again: where that is a simulation's, and not where it would move a robot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dexloop.config import read_config
from dexloop.pipeline.run import Run
from dexloop.pipeline.showcase import replay_episode
from dexloop.pipeline.verbs import open_run
from dexloop.runtime.run_directory import RunDirectory
from tests.lift import lift


def test_actions_done_again_in_the_simulation_succeed_again(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replay_episode(open_run(finished_run), "demos", 0, None)
    assert "done again: success True" in capsys.readouterr().err


def test_a_served_robot_that_may_be_a_real_one_is_not_moved(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env, robot = lift()
    config = replace(read_config(finished_run / "config.json"), robot="grpc://127.0.0.1:50051")
    replay_episode(Run(RunDirectory(finished_run), config, robot), "demos", 0, None)
    assert "not done again: lift may be a real robot" in capsys.readouterr().err
    assert env.seeds == []
