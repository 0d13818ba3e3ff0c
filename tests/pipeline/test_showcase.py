"""A recorded episode done again, unless that would move a robot; and films of policies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from dexloop.config import RunConfig, read_config
from dexloop.pipeline.run import Run
from dexloop.pipeline.showcase import film, replay_episode
from dexloop.pipeline.verbs import open_run
from dexloop.robot.gym import GymRobot
from dexloop.runtime.run_directory import RunDirectory
from tests.lift import GRASPED, UP, Lift, lift


class Watched(gymnasium.ObservationWrapper[Any, Any, Any]):
    """The lift before a camera that sees how high it is."""

    def __init__(self) -> None:
        super().__init__(Lift())
        picture = spaces.Box(0, 255, (32, 32, 3), np.uint8)
        self.observation_space = spaces.Dict({"proprio": spaces.Box(-np.inf, np.inf, (2,), np.float32), "top": picture})

    def observation(self, observation: Any) -> dict[str, Any]:
        height = int(np.clip(100 * observation[0], 0, 255))
        return {"proprio": observation, "top": np.full((32, 32, 3), height, np.uint8)}


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


def test_a_policy_is_filmed_anew_whatever_it_did_before(tmp_path: Path) -> None:
    robot = GymRobot(Watched(), name="lift", task="lift-up", control_hz=10.0, max_steps=8)
    run = Run(RunDirectory(tmp_path / "run"), RunConfig(), robot)

    def films() -> list[str]:
        return sorted(path.name for path in run.directory.videos.iterdir())

    film(run, "iborl", UP)
    film(run, "iborl_policy", UP)
    film(run, "bc", UP)
    assert films() == sorted(
        f"{who}_{i}_failure.mp4" for who in ("after_iborl", "after_iborl_policy", "before_bc") for i in range(3)
    )
    film(run, "iborl", GRASPED)
    assert [name for name in films() if name.startswith("after_iborl_")] == [
        *(f"after_iborl_{i}_success.mp4" for i in range(3)),
        *(f"after_iborl_policy_{i}_failure.mp4" for i in range(3)),
    ]
    assert len([name for name in films() if name.startswith("before_bc_")]) == 3

    served = Run(RunDirectory(tmp_path / "served"), RunConfig(robot="grpc://127.0.0.1:50051"), robot)
    film(served, "iborl", GRASPED)
    assert not served.directory.videos.exists(), "each would ask a person for another reset"
