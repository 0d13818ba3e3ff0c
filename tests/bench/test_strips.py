"""Strips show what was done, and when it had succeeded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from dexloop.bench.strips import draw_strips
from dexloop.config import RunConfig
from dexloop.episode import run_episode
from dexloop.gates.human import HumanGate
from dexloop.operators.idle import StillPolicy
from dexloop.operators.scripted import CLEAN, ScriptedOperator
from dexloop.pipeline.robots import open_robot, sim_config
from dexloop.rewards.environment import EnvironmentReward


@pytest.mark.gl
def test_frames_after_success_are_green(tmp_path: Path) -> None:
    config = replace(RunConfig(), reward="simulation", observation="privileged")
    robot = open_robot(config)
    operator = ScriptedOperator(sim_config(config), CLEAN)
    episode = run_episode(robot, StillPolicy(robot.spec), EnvironmentReward(), HumanGate(), seed=5, operator=operator)
    assert episode.success
    shown = replace(config, observation="images")
    draw_strips({"done": (shown, episode)}, tmp_path / "whole.png", every=1.0, pictures=6)
    draw_strips({"begun": (shown, episode)}, tmp_path / "start.png", every=0.2, pictures=6)

    def green(name: str) -> int:
        drawn = image.imread(tmp_path / name)[..., :3]
        return int((np.abs(drawn - np.array([0x2A, 0x9D, 0x3A]) / 255).max(-1) < 0.02).sum())

    assert green("whole.png") > 500 > green("start.png") == 0
