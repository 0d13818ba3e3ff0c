"""The pictures of an observation: what each camera sees and, where asked for, a nearer look at the hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dexloop.sim.config import SimConfig
from dexloop.sim.engine import MjData
from dexloop.sim.rendering import Renderer
from dexloop.sim.rotations import Array
from dexloop.sim.scene import CAMERAS, SceneConfig
from dexloop.types import HAND_VIEW

_SCENE = SceneConfig()


def views(renderer: Renderer, data: MjData, config: SimConfig, hand: Array) -> dict[str, NDArray[np.uint8]]:
    """Every view of ``config``, {name: (size, size, 3) uint8 RGB}; hand: the end effector's place (3,) [m, world].

    Where the hand is in a picture follows from where the cameras are meant to be, as it would from a calibration.
    """
    size = config.image_size
    pictures = renderer.pictures(data, CAMERAS, size, size)
    if config.hand_view:
        parts = {name: view.around(hand, config.hand_view) for name, view in _SCENE.cameras.items()}
        pictures |= {f"{name}{HAND_VIEW}": picture for name, picture in renderer.cutouts(data, parts, size).items()}
    return pictures
