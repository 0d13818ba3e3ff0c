"""The columns of a dataset and its ``meta/info.json``: LeRobotDataset v3.0 for a dexloop robot."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dexloop.errors import DexloopError
from dexloop.types import ActionGroup, ActionSpec, ObservationSpec, RobotSpec

CODEBASE_VERSION = "v3.0"
FORMAT_VERSION = 1
CHUNK_SIZE = 1000
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"

STATE = "observation.state"
PRIVILEGED = "observation.environment_state"
IMAGES = "observation.images."
EXECUTED = "action"
PROPOSED = "action.proposed"
CONTROL = "complementary_info.control"
INTERVENTION = "complementary_info.is_intervention"
REWARD = "next.reward"
DONE = "next.done"
TERMINATED = "next.terminated"
TRUNCATED = "next.truncated"
SUCCESS = "next.success"
TRUE_SUCCESS = "next.true_success"
SCORE = "next.score"

# Where a step belongs, which nobody normalises: no statistics are kept of these.
PLACES = ("timestamp", "frame_index", "episode_index", "index", "task_index")
SCALARS = {
    INTERVENTION: "bool",
    REWARD: "float32",
    DONE: "bool",
    TERMINATED: "bool",
    TRUNCATED: "bool",
    SUCCESS: "bool",
    TRUE_SUCCESS: "int8",
    SCORE: "float32",
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


def features(spec: RobotSpec, pixel_format: str) -> dict[str, dict[str, Any]]:
    """LeRobot's description of every column and camera of this robot's episodes."""
    observation, action = spec.observation, spec.action
    table: dict[str, dict[str, Any]] = {
        STATE: _feature("float32", observation.proprio, observation.proprio_names),
    }
    if observation.privileged:
        table[PRIVILEGED] = _feature("float32", observation.privileged)
    for camera, (height, width) in observation.cameras.items():
        table[IMAGES + camera] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height,
                "video.width": width,
                "video.codec": "h264",
                "video.pix_fmt": pixel_format,
                "video.is_depth_map": False,
                "video.fps": fps(spec),
                "video.channels": 3,
                "has_audio": False,
            },
        }
    table[EXECUTED] = _feature("float32", action.size, action.names)
    table[PROPOSED] = _feature("float32", action.size, action.names)
    table[CONTROL] = _feature("bool", action.size, action.names)
    table |= {name: _feature(dtype, 1) for name, dtype in SCALARS.items()}
    return table


def info(spec: RobotSpec, pixel_format: str, episodes: int, frames: int, tasks: int) -> dict[str, Any]:
    """The content of ``meta/info.json``."""
    return {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": spec.name,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": CHUNK_SIZE,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps(spec),
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": features(spec, pixel_format),
    }


def fps(spec: RobotSpec) -> int | float:
    """The control rate [Hz]; an integer where it is one, as LeRobot expects."""
    return int(spec.control_hz) if float(spec.control_hz).is_integer() else float(spec.control_hz)


def spec_to_json(spec: RobotSpec) -> dict[str, Any]:
    observation = dataclasses.replace(spec.observation, cameras=dict(spec.observation.cameras))
    return dataclasses.asdict(dataclasses.replace(spec, observation=observation))


def spec_from_json(path: Path, content: Mapping[str, Any]) -> RobotSpec:
    """The robot in ``meta/dexloop.json``. Raises DexloopError where it is not one."""
    try:
        action, observation = content["action"], content["observation"]
        cameras = {str(name): (int(size[0]), int(size[1])) for name, size in observation["cameras"].items()}
        return RobotSpec(
            name=str(content["name"]),
            task=str(content["task"]),
            action=ActionSpec(
                size=int(action["size"]),
                groups=tuple(_group(g) for g in action["groups"]),
                names=tuple(str(name) for name in action["names"]),
            ),
            observation=ObservationSpec(
                proprio=int(observation["proprio"]),
                cameras=cameras,
                privileged=int(observation["privileged"]),
                proprio_names=tuple(str(name) for name in observation["proprio_names"]),
            ),
            control_hz=float(content["control_hz"]),
            max_steps=int(content["max_steps"]),
            reset_seconds=float(content["reset_seconds"]),
            can_hold=bool(content["can_hold"]),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DexloopError(f"{path}: does not describe a robot ({error!r})") from error


def _group(content: Mapping[str, Any]) -> ActionGroup:
    # Episodes of before there was a "velocity" do not say it.
    velocity = bool(content.get("velocity", False))
    return ActionGroup(str(content["name"]), int(content["start"]), int(content["stop"]), velocity)


def spec_from_info(path: Path, content: Mapping[str, Any], task: str, max_steps: int) -> RobotSpec:
    """The robot of a dataset that another program wrote, from its ``meta/info.json``.

    Raises DexloopError where state, action or rate are missing, or images are not stored as video.
    """
    try:
        table: Mapping[str, Any] = content["features"]
        if any(feature["dtype"] == "image" for feature in table.values()):
            raise DexloopError(f"{path}: images lie inside the tables; only datasets with videos can be read")
        cameras = {
            name.removeprefix(IMAGES): camera_size(feature)
            for name, feature in table.items()
            if feature["dtype"] == "video"
        }
        action = table[EXECUTED]
        return RobotSpec(
            name=str(content.get("robot_type") or "unknown"),
            task=task,
            action=ActionSpec(size=int(action["shape"][0]), names=_names(action)),
            observation=ObservationSpec(
                proprio=int(table[STATE]["shape"][0]),
                cameras=cameras,
                privileged=int(table[PRIVILEGED]["shape"][0]) if PRIVILEGED in table else 0,
                proprio_names=_names(table[STATE]),
            ),
            control_hz=float(content["fps"]),
            max_steps=max_steps,
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DexloopError(f"{path}: lacks what a robot's dataset needs ({error!r})") from error


def camera_size(feature: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width) [pixels] of a camera's feature, whichever way round its shape is written."""
    shape = [int(size) for size in feature["shape"]]
    names = feature.get("names") or ["height", "width", "channels"]
    return shape[names.index("height")], shape[names.index("width")]


def check_spec(spec: RobotSpec) -> None:
    """Raise DexloopError where a robot cannot be stored; camera names become folders."""
    for camera, size in spec.observation.cameras.items():
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", camera):
            raise DexloopError(f"camera {camera!r}: its name may only have letters, digits, '_', '-' and '.'")
        if min(size) < 1:
            raise DexloopError(f"camera {camera!r}: its images have no pixels, {size[0]}x{size[1]}")
    if spec.action.size < 1 or spec.observation.proprio < 1 or spec.control_hz <= 0:
        raise DexloopError(f"robot {spec.name!r}: needs an action, proprioception and a control rate to be stored")


def check_same_kind(learned: RobotSpec, given: RobotSpec, observation: str) -> None:
    """Raise DexloopError where a policy that learned on one robot cannot act on the other.

    observation: of the policy, images or privileged. Cameras that it was not trained with do no harm.
    """
    pairs: dict[str, tuple[object, object]] = {
        "action size": (learned.action.size, given.action.size),
        "proprioception size": (learned.observation.proprio, given.observation.proprio),
        "control rate [Hz]": (float(learned.control_hz), float(given.control_hz)),
    }
    if observation == "privileged":
        pairs["privileged size"] = (learned.observation.privileged, given.observation.privileged)
    for name, size in _sizes(learned).items():
        pairs[f"camera {name} [pixels]"] = (size, _sizes(given).get(name))
    for what, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise DexloopError(f"robot {given.name!r}: the policy's {what} is {ours}, the robot's is {theirs}")


def check_same_robot(path: Path, stored: RobotSpec, wanted: RobotSpec) -> None:
    """Raise DexloopError where episodes of ``wanted`` do not fit a dataset of ``stored``."""
    pairs = {
        "robot": (stored.name, wanted.name),
        "action size": (stored.action.size, wanted.action.size),
        "proprioception size": (stored.observation.proprio, wanted.observation.proprio),
        "privileged size": (stored.observation.privileged, wanted.observation.privileged),
        "cameras": (_sizes(stored), _sizes(wanted)),
        "control rate [Hz]": (float(stored.control_hz), float(wanted.control_hz)),
        # Proprioception ends with the share of it that is left; another program's dataset does not say.
        "deadline [control steps]": (stored.max_steps or wanted.max_steps, wanted.max_steps),
    }
    for what, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise DexloopError(
                f"{path}: the dataset's {what} is {ours}, this robot's is {theirs}; choose another --out"
            )


def _sizes(spec: RobotSpec) -> dict[str, tuple[int, int]]:
    return {name: (int(size[0]), int(size[1])) for name, size in sorted(spec.observation.cameras.items())}


def _feature(dtype: str, size: int, names: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [size], "names": list(names) or None}


def _names(feature: Mapping[str, Any]) -> tuple[str, ...]:
    """LeRobot writes names as a list, a dictionary of lists, or not at all."""
    names = feature.get("names")
    if isinstance(names, Mapping):
        names = next(iter(names.values()), None)
    return tuple(str(name) for name in names) if isinstance(names, list) else ()
