"""Which robot and judge a configuration names."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from dexloop.config import RunConfig
from dexloop.core import RewardModel, Robot
from dexloop.errors import DexloopError
from dexloop.rewards.cameras import ClassifierReward
from dexloop.rewards.debounce import frames
from dexloop.rewards.environment import EnvironmentReward
from dexloop.rewards.person import PersonReward
from dexloop.rewards.storage import load_classifier
from dexloop.robot.gym import GymRobot, open_gym
from dexloop.runtime.run_directory import RunDirectory
from dexloop.sim.config import SimConfig
from dexloop.sim.env import DexEnv
from dexloop.types import RobotSpec

GRPC = "grpc://"
"""How the name of a robot behind a controller begins."""


def open_robot(config: RunConfig) -> Robot:
    """The robot of ``config.robot``: sim, gym:ID for a Gymnasium environment, or grpc://HOST:PORT for a controller."""
    if config.reward == "classifier" and config.observation == "privileged":
        raise DexloopError("--observation privileged has no pictures for a classifier; add --reward simulation")
    if config.robot == "sim":
        return GymRobot(DexEnv(sim_config(config)), name="sim", task=config.task)
    if config.robot.startswith("gym:"):
        find_modules_here()
        settings = config.gym
        drawn = {} if settings.render_mode is None else {"render_mode": settings.render_mode}
        robot = open_gym(
            config.robot,
            control_hz=settings.control_hz,
            max_steps=settings.max_steps,
            reset_seconds=settings.reset_seconds,
            **drawn,
        )
        if config.reward == "classifier" and not robot.spec.observation.cameras:
            raise DexloopError(
                f"--robot {config.robot} has no cameras to learn a reward from; give --reward simulation, or "
                "--reward person where it does not say itself what success is"
            )
        return robot
    if config.robot.startswith(GRPC):
        return _open_served(config)
    raise DexloopError(f"--robot {config.robot}: no such robot; give sim, gym:ID or grpc://HOST:PORT")


def _open_served(config: RunConfig) -> Robot:
    """The robot behind a controller; raises DexloopError where it is set up for something else than this run is."""
    try:
        # The robot's extra, which a run in the simulation does not need.
        from dexloop.robot.client import GrpcEnv
        from dexloop.robot.person import ask_to_look
    except ImportError as error:
        raise DexloopError(f"--robot {config.robot}: {error}; install it with: pip install 'dexloop[robot]'") from None
    env = GrpcEnv(config.robot.removeprefix(GRPC), config.grpc, ask_to_look())
    spec = env.robot_spec
    if spec.task != config.task:
        env.close()
        raise DexloopError(f"--robot {config.robot} is set up for task {spec.task!r}, not for {config.task!r}")
    if config.observation == "images" and not spec.observation.cameras:
        env.close()
        raise DexloopError(f"--robot {config.robot} shows no pictures; give --observation privileged")
    if config.observation == "privileged" and not spec.observation.privileged:
        env.close()
        raise DexloopError(f"--robot {config.robot} has no privileged state to see; give --observation images")
    return GymRobot(env, name=spec.name, task=spec.task)


def sim_config(config: RunConfig) -> SimConfig:
    """The simulated robot of a run: with the truth for operator and judge, and ended by the judge alone."""
    return replace(
        config.sim,
        task=config.task,
        observation=config.observation,
        privileged=True,
        end_on_success=False,
    )


def debounce_window(config: RunConfig, spec: RobotSpec) -> int:
    """Frames that success must be seen in before it counts."""
    return frames(config.classifier.window_seconds, spec.control_hz)


def training_reward(config: RunConfig, run: RunDirectory, spec: RobotSpec) -> RewardModel:
    """Who judges while learning: the classifier of the run, the environment, or nobody but the operator."""
    if config.reward != "classifier":
        return recording_reward(config)
    classifier, threshold = load_classifier(run.classifier)
    return ClassifierReward(classifier, threshold, window=debounce_window(config, spec), hits=config.classifier.hits)


def recording_reward(config: RunConfig) -> RewardModel:
    """Who judges where there is no classifier yet: the environment, unless a person is to judge everything."""
    return PersonReward() if config.reward == "person" else EnvironmentReward()


def find_modules_here() -> None:
    """Let modules in the working directory be imported, as ``python`` itself does but a command does not."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
