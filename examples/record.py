"""Record two demonstrations of the cup task, with pictures, into a folder.

python examples/record.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

from dexloop.config import RecordConfig, RunConfig
from dexloop.operators.scripted import HUMAN, ScriptedOperator
from dexloop.pipeline.record import record_demonstrations
from dexloop.pipeline.robots import open_robot, sim_config


def main(folder: Path) -> None:
    config = RunConfig(task="cup", record=RecordConfig(episodes=2, tail_seconds=1.0))
    robot = open_robot(config)
    # Like a person: slow, stopping to look, a little off. CLEAN instead of HUMAN is none of these.
    operator = ScriptedOperator(sim_config(config), HUMAN)

    with record_demonstrations(config, robot, operator, folder) as dataset:
        for index in dataset.episodes:
            facts = dataset.episode_info(index)
            steps = dataset.columns(index)
            frames = dataset.frames(index)
            print(f"episode {index}: {facts.length} steps, success {facts.success}, seed {facts.seed}")
            print(f"  actions {steps['action'].shape}, pictures { ({c: f.shape for c, f in frames.items()}) }")
    robot.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("recorded"))
