"""The scripted operator shows the task over and over through the robot service, and every valid episode is stored.

    python benchmarks/chaos_worker.py 127.0.0.1:50051 --devices devices.sock --out episodes

It is also the person beside the robot: it puts the object back and re-arms after a fault, half a second later. What
happens is printed as lines of JSON, at once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dexloop.data.dataset import EpisodeDataset
from dexloop.data.recorder import Recorder
from dexloop.episode import run_episode
from dexloop.errors import DexloopError
from dexloop.gates.human import HumanGate
from dexloop.operators.idle import StillPolicy
from dexloop.operators.scripted import CLEAN, ScriptedOperator
from dexloop.rewards.environment import EnvironmentReward
from dexloop.robot.client import GrpcEnv
from dexloop.robot.gym import GymRobot
from dexloop.robot.simulators.device_process import ask
from dexloop.sim.config import SimConfig
from dexloop.sim.state import PRIVILEGED_SIZE
from dexloop.types import Observation, RobotSpec, Step

LOOKS_SECONDS = 0.5
"""How long a person takes to look before re-arming [s]."""


def note(kind: str, **words: Any) -> None:
    """Tell whoever started this, with the time [s]."""
    print(json.dumps({"t": time.monotonic(), "kind": kind, **words}), flush=True)


class Watched:
    """A ``Robot`` whose object a person puts back, and about which the simulation tells the truth."""

    def __init__(self, robot: GymRobot, devices: Path) -> None:
        self._robot, self._devices = robot, devices

    @property
    def spec(self) -> RobotSpec:
        seen = self._robot.spec.observation
        return replace(self._robot.spec, observation=replace(seen, privileged=PRIVILEGED_SIZE))

    def reset(self, seed: int) -> Observation:
        seen = self._robot.reset(seed)
        ask(self._devices, "put", seed=seed)
        note("start", seed=seed)
        return self._with_truth(seen)[0]

    def step(self, action: object) -> Step:
        step = self._robot.step(action)
        seen, success = self._with_truth(step.observation)
        return replace(step, observation=seen, reward=float(success), success=success)

    def hold(self) -> Observation:
        return self._with_truth(self._robot.hold())[0]

    def stop(self) -> None:
        self._robot.stop()

    def rearm(self) -> None:
        self._robot.rearm()

    def announce(self, policy_version: int) -> None:
        self._robot.announce(policy_version)

    def close(self) -> None:
        self._robot.close()

    def _with_truth(self, seen: Observation) -> tuple[Observation, bool]:
        told = ask(self._devices, "truth")
        return replace(seen, privileged=np.array(told["privileged"], np.float32)), bool(told["success"])


def connect(address: str) -> GrpcEnv:
    """As soon as somebody answers there."""
    while True:
        try:
            return GrpcEnv(address)
        except DexloopError as error:
            note("trouble", what=str(error))
            time.sleep(0.2)


def work(robot: Watched, dataset: EpisodeDataset, seed: int, episodes: int) -> None:
    """Until so many episodes were finished; raises DexloopError where one cannot be stored."""
    operator, finished = ScriptedOperator(SimConfig(), CLEAN), 0
    while finished < episodes:
        seed += 1
        note("begin", seed=seed)
        trouble: str | None = None
        try:
            episode = run_episode(
                robot, StillPolicy(robot.spec), EnvironmentReward(), HumanGate(), seed=seed, operator=operator
            )
        except DexloopError as error:
            trouble = str(error)
        else:
            if episode.valid:
                recorder = Recorder(dataset)
                recorder.on_episode(episode)
                finished += 1
                note("finished", index=recorder.last_index, success=episode.success, steps=len(episode))
                continue
            trouble = str(episode.info.get("fault"))
            note("void", fault=trouble, steps=len(episode))
        note("trouble", what=trouble)
        time.sleep(LOOKS_SECONDS)
        try:
            robot.rearm()
        except DexloopError as error:
            note("trouble", what=str(error))


def main() -> int:
    parser = argparse.ArgumentParser(description="Show the task over and over through the robot service.")
    parser.add_argument("address", help="HOST:PORT of the service")
    parser.add_argument("--devices", type=Path, required=True, help="socket of the simulated devices")
    parser.add_argument("--out", type=Path, required=True, help="dataset of the episodes")
    parser.add_argument("--seed", type=int, default=0, help="before that of the first episode")
    parser.add_argument("--episodes", type=int, default=1_000_000, help="how many to finish")
    given = parser.parse_args()
    env = connect(given.address)
    robot = Watched(GymRobot(env, name=env.robot_spec.name, task=env.robot_spec.task), given.devices)
    try:
        with EpisodeDataset.open_or_create(given.out, robot.spec) as dataset:
            note("ready", repaired=list(dataset.warnings))
            work(robot, dataset, given.seed, given.episodes)
    except DexloopError as error:
        note("ended", why=str(error))
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        robot.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
