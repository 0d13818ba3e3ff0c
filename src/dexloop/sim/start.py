"""How an episode of the simulation starts: everything that is drawn at a reset."""

from __future__ import annotations

import numpy as np

from dexloop.errors import DexloopError
from dexloop.sim.config import SimConfig
from dexloop.sim.kinematics import pose
from dexloop.sim.randomisation import Push, Randomiser, draw_push
from dexloop.sim.rotations import Array, rotation_matrix
from dexloop.sim.simulation import Simulation
from dexloop.sim.tasks.base import StartRegion, Task

# A larger remaining error of the inverse kinematics means that the pose is out of reach [m or rad].
_REACHED = 1e-4
_START_ATTEMPTS = 50


class EpisodeStart:
    """Brings ``simulation`` to start states of ``task``, scattered as ``config`` says."""

    def __init__(self, simulation: Simulation, task: Task, config: SimConfig) -> None:
        self._simulation = simulation
        self._task = task
        self._config = config
        self._randomiser = Randomiser(simulation.model, config.randomise)

    def draw(self, rng: np.random.Generator) -> Push | None:
        """A new start state, and the blow that its object is to get, if any; the same ``rng`` gives the same.

        Raises DexloopError for a start region that is out of the arm's reach.
        """
        simulation, task, config = self._simulation, self._task, self._config
        region = task.fixed if config.reset == "fixed" else task.random
        size = self._randomiser.apply(rng, simulation.data)
        simulation.reset(
            joints=self._joints(rng, region),
            fingers=np.array(task.fingers),
            object_position=np.array(task.object_position) + rng.uniform(-1.0, 1.0, 2) * region.object_position,
            object_yaw=float(rng.uniform(-1.0, 1.0)) * region.object_yaw,
            object_size=size,
            finger_lag=float(rng.uniform(*config.action_latency)),
        )
        return draw_push(rng, config.randomise.push)

    def _joints(self, rng: np.random.Generator, region: StartRegion) -> Array:
        """Joint angles (6,) of a start pose drawn from the region; draws again what is out of reach."""
        task = self._task
        for _ in range(_START_ATTEMPTS):
            position = np.array(task.ee_position) + rng.uniform(-1.0, 1.0, 3) * region.ee_position
            turn = rotation_matrix(rng.uniform(-1.0, 1.0, 3) * region.ee_rotation)
            goal = pose(position, turn @ task.ee_rotation)
            solution = self._simulation.kinematics.solve(np.array(task.home), goal, iterations=100)
            if solution.residual < _REACHED:
                return solution.q
        raise DexloopError(f"task {task.name!r}: its start region is out of the arm's reach")
