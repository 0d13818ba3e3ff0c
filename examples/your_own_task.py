"""A simulated task of your own in one file: lift a full can: python examples/your_own_task.py [EPISODES]

With dexloop's verbs, in this folder: dexloop run can --robot gym:your_own_task:Own/Can-v0
--operator your_own_task:make_operator --observation privileged --reward simulation
From pictures: SimConfig(..., observation="images", privileged=True, ...) in ROBOT, and without the last two flags.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import gymnasium

from dexloop.core import Operator
from dexloop.operators.scripted import HUMAN, ScriptedOperator
from dexloop.sim.config import SimConfig
from dexloop.sim.state import SceneState
from dexloop.sim.tasks.cup import TASK as CUP
from dexloop.types import Observation, RobotSpec

# Radius 3.2 cm and height 9 cm, as the cup, but solid and twice as heavy.
CAN = """<body name="object" pos="0 0 .045"><freejoint name="object"/>
<geom class="object" type="cylinder" size=".032 .045" mass=".3" rgba=".2 .5 .3 1"/></body>"""


def high_up(state: SceneState) -> bool:
    """In the hand, and 8 cm above where it stood; a success when it stays so for half a second."""
    return state.thumb and state.any_finger and state.height > 0.08


# What is not said again is as in the cup's task: where things start, and how the scripted operator grasps.
TASK = replace(CUP, name="can", summary="lift a full can", mjcf=CAN, holding=high_up, max_seconds=12.0)
ROBOT = SimConfig(task="can", observation="privileged", end_on_success=False)
gymnasium.register("Own/Can-v0", "dexloop.sim.env:DexEnv", kwargs={"config": ROBOT, "task": TASK})


def make_operator(spec: RobotSpec) -> Operator:
    """Who demonstrates the task; ``--operator your_own_task:make_operator`` calls this."""
    return ScriptedOperator(ROBOT, HUMAN, TASK)


def main(episodes: int) -> None:
    env = gymnasium.make("Own/Can-v0")
    operator = ScriptedOperator(ROBOT, HUMAN, TASK)
    for seed in range(episodes):
        seen, info = env.reset(seed=seed)
        operator.reset(seed)
        steps, over = 0, False
        while not (over or info["is_success"]):
            said = operator.poll(Observation(seen["proprio"], {}, seen["privileged"]))
            seen, _, _, over, info = env.step(said.action)
            steps += 1
        print(f"episode {seed}: {'lifted' if info['is_success'] else 'not lifted'} after {steps} steps")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
