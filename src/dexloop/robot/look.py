"""What a robot measures of itself, in words for the person who sets it up; nothing moves."""

from __future__ import annotations

import numpy as np

from dexloop.robot.devices import Array
from dexloop.robot.hardware_plant import HardwarePlant
from dexloop.robot.plant import PlantState
from dexloop.sim.hand import FINGER_NAMES


def look(plant: HardwarePlant) -> str:
    """One line a device, with units; raises DeviceError where one is lost."""
    state = plant.state()
    pose = plant.kinematics.forward(state.joints)
    lines = [
        f"joints [degrees]: {_row(np.degrees(state.joints), 2)}",
        f"end effector [m, world]: {_row(pose[:3, 3], 4)}",
        f"fingers point to [world]: {_row(pose[:3, 2], 3)}; palm looks to {_row(pose[:3, 0], 3)}",
        *_fingers(state),
    ]
    for name, frame in plant.frames().items():
        height, width = frame.image.shape[:2]
        red, green, blue = frame.image.reshape(-1, 3).mean(axis=0)
        lines.append(
            f"camera {name}: {height} x {width} pixels, picture {frame.counter}, "
            f"mean red {red:.0f}, green {green:.0f}, blue {blue:.0f}"
        )
    lines.append(f"fault: {state.fault or 'none'}")
    return "\n".join(lines)


def _fingers(state: PlantState) -> list[str]:
    return [
        f"{name}: closed {fraction:.3f}, force {force:.2f} N, {temperature:.0f} °C"
        for name, fraction, force, temperature in zip(
            FINGER_NAMES, state.fingers, state.force, state.temperature, strict=True
        )
    ]


def _row(values: Array, digits: int) -> str:
    return "  ".join(f"{value:.{digits}f}" for value in values)
