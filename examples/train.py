"""The way from demonstrations to a trained policy, stage by stage, from the simulation's state (no pictures).

python examples/train.py [ROBOT_MINUTES] [FOLDER]

With 20 robot minutes it takes about a quarter of an hour on one core.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from dexloop.config import RunConfig, TrainConfig
from dexloop.networks.storage import load_agent
from dexloop.pipeline import verbs
from dexloop.presets import PRESETS


def settings(robot_minutes: float) -> RunConfig:
    """The demo's settings, or the smallest ones that run for a budget that the demo's rollouts alone would spend."""
    start = PRESETS["demo" if robot_minutes >= 10 else "smoke"]
    train = TrainConfig(robot_minutes=robot_minutes, runtime="synchronous")
    return replace(start, observation="privileged", reward="simulation", train=train)


def main(robot_minutes: float, folder: Path) -> None:
    run = verbs.begin("cup", folder, settings(robot_minutes), resume=folder.is_dir())
    run.record()
    run.pretrain()
    clone = run.evaluate("bc", load_agent(run.directory.prior).agent, robot_minutes=0.0)
    run.collect_rollouts()
    run.distil()
    run.train()
    trained = run.evaluate("iborl", load_agent(run.directory.policy).agent, run.robot_minutes())
    print(f"clone {clone.successes}/{clone.trials}, trained {trained.successes}/{trained.trials}")
    print(f"policy: {run.directory.policy}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0, Path(sys.argv[2] if len(sys.argv) > 2 else "trained"))
