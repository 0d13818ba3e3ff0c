"""Strips show what was done, and when it had succeeded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from dexloop import DexloopError
from dexloop.bench.strips import Strip, draw_strips, figure_3, run_strips
from dexloop.config import RunConfig
from dexloop.episode import run_episode
from dexloop.gates.human import HumanGate
from dexloop.operators.idle import StillPolicy
from dexloop.operators.scripted import CLEAN, ScriptedOperator
from dexloop.pipeline.robots import open_robot, sim_config
from dexloop.pipeline.verbs import open_run
from dexloop.rewards.environment import EnvironmentReward
from dexloop.sim.scene import CAMERAS


@pytest.mark.gl
def test_frames_after_success_are_green(tmp_path: Path) -> None:
    config = replace(RunConfig(), reward="simulation", observation="privileged")
    robot = open_robot(config)
    operator = ScriptedOperator(sim_config(config), CLEAN)
    episode = run_episode(robot, StillPolicy(robot.spec), EnvironmentReward(), HumanGate(), seed=5, operator=operator)
    assert episode.success
    shown = replace(config, observation="images")
    whole = Strip(shown, episode, [float(second) for second in range(6)])
    draw_strips({"done": whole, "the same": whole}, tmp_path / "whole.png", CAMERAS)
    draw_strips({"begun": Strip(shown, episode, [0.0, 0.5, 1.0])}, tmp_path / "start.png", CAMERAS[:1])

    def green(name: str) -> int:
        drawn = image.imread(tmp_path / name)[..., :3]
        return int((np.abs(drawn - np.array([0x2A, 0x9D, 0x3A]) / 255).max(-1) < 0.02).sum())

    assert green("whole.png") > 500 > green("start.png") == 0


def test_a_policy_that_never_succeeds_has_no_strip(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DexloopError, match="nothing to show"):
        figure_3({"cup": open_run(finished_run)}, tmp_path / "figure3.png")
    assert not (tmp_path / "figure3.png").exists()


def test_policies_without_pictures_are_refused(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DexloopError, match="--observation privileged has no pictures"):
        run_strips(finished_run, tmp_path / "strips.png")
    assert not (tmp_path / "strips.png").exists()
