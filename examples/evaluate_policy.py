"""Load a policy file, let it try, and print its success rate with the interval that belongs to it.

python examples/evaluate_policy.py POLICY.safetensors [TRIALS]
"""

from __future__ import annotations

import sys
from pathlib import Path

from dexloop.config import RunConfig
from dexloop.networks.storage import load_agent
from dexloop.pipeline.evaluate import evaluate_policy
from dexloop.pipeline.robots import open_robot


def main(file: Path, trials: int) -> None:
    agent, architecture, facts = load_agent(file)
    print(f"{file}: cameras {list(architecture.cameras)}, {architecture.action_size} actions, {facts}")
    observation = "privileged" if architecture.privileged else "images"
    config = RunConfig(task="cup", observation=observation, reward="simulation")
    robot = open_robot(config)

    result = evaluate_policy(config, robot, agent, trials)

    low, high = result.ci95
    print(f"success {result.successes}/{result.trials} = {100 * result.success_rate:.0f} %")
    print(f"95 % interval (Wilson): {100 * low:.0f} to {100 * high:.0f} %")
    if result.mean_steps is not None:
        print(f"steps to success: {result.mean_steps:.1f} on average")
    robot.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 40)
