"""What a task is: one file with one value of ``Task`` in it, found by the file's name.

``dexloop.sim.tasks.cup`` is the model to copy for a new one.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dexloop.errors import DexloopError
from dexloop.sim import tasks
from dexloop.sim.rotations import Array
from dexloop.sim.state import SceneState

_LIFTED = 0.06
_SLOW = 0.10
_UPRIGHT = math.cos(math.radians(45.0))


@dataclass(frozen=True, slots=True)
class StartRegion:
    """Where an episode starts, uniform within plus and minus each half-width.

    ee_position [m, per axis] and ee_rotation [rad, per axis]: about the task's start pose. object_position
    [m, x and y] and object_yaw [rad]: about the task's object pose.
    """

    ee_position: float
    ee_rotation: float
    object_position: float
    object_yaw: float


@dataclass(frozen=True, slots=True)
class GraspPlan:
    """Where the hand must go, for a scripted operator; poses of the end effector in the world.

    rotation (3, 3): throughout. approach (3,): beside or above the object. grasp (3,): where the fingers
    close [m]. opened, closed (6,): fingers before and after. lift: how far to lift [m].
    """

    rotation: Array
    approach: Array
    grasp: Array
    opened: Array
    closed: Array
    lift: float


@dataclass(frozen=True, slots=True)
class Task:
    """A manipulation task.

    name: of its file. summary: one line for people. max_seconds: the deadline [s]. mjcf: the object (see
    ``scene.build_mjcf``). object_position (2,) [m]: its nominal place on the table. symmetry: the number of
    headings of the object that look the same, 0 for a round one. home (6,) [rad]: an arm posture near the
    start pose ee_position (3,) [m], ee_rotation (3, 3). fingers (6,): closed fraction at the start. regions:
    start regions of reset "fixed" and "random". holding: whether the object is held as required, now; held
    without a break for hold_seconds it is a success. plan: the grasp for a state. timestep: the longest physics step
    [s]. flexible: whether the object has a flex in it (see ``scene.build_mjcf``).
    """

    name: str
    summary: str
    max_seconds: float
    mjcf: str
    object_position: tuple[float, float]
    symmetry: int
    home: tuple[float, ...]
    ee_position: tuple[float, float, float]
    ee_rotation: Array
    fingers: tuple[float, ...]
    fixed: StartRegion
    random: StartRegion
    holding: Callable[[SceneState], bool]
    plan: Callable[[SceneState], GraspPlan]
    hold_seconds: float = 0.5
    timestep: float = 0.004
    flexible: bool = False


def lifted_by_hand(state: SceneState) -> bool:
    """Lifted 6 cm, slower than 0.1 m/s, touched by the thumb and borne by the hand alone: what every task asks for."""
    return (
        state.height > _LIFTED and state.thumb and not state.supported and float(np.linalg.norm(state.velocity)) < _SLOW
    )


def upright(state: SceneState) -> bool:
    """Whether the object leans by less than 45 degrees."""
    return float(state.object_up[2]) > _UPRIGHT


def task_names() -> tuple[str, ...]:
    """The names of all tasks there are."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(tasks.__path__) if m.name != "base"))


def load_task(name: str) -> Task:
    """The task of that name. Raises DexloopError when there is none."""
    if name not in task_names():
        raise DexloopError(f"--task: no task {name!r}; there are: {', '.join(task_names())}")
    task: Task = importlib.import_module(f"{tasks.__name__}.{name}").TASK
    return task
