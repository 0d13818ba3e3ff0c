"""A nearer look at the hand: the part of a camera's picture around the end effector, as ``--sim.hand-view`` has it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dexloop.robot.camera_sections import CameraSection
from dexloop.robot.devices import Array, Camera, Frame
from dexloop.robot.drivers.cameras import Intrinsics, window
from dexloop.sim.scene import View

# Nearer to the camera than this, or behind it, the end effector is in no picture [m].
_NEAREST = 0.05


class KnownCamera(Camera, Protocol):
    """A camera whose pictures can be measured in."""

    @property
    def whole_intrinsics(self) -> Intrinsics | None:
        """Of ``Frame.whole``, or of ``Frame.image`` where that is all; None where nobody knows them."""
        ...


@dataclass(frozen=True, slots=True)
class Square:
    """Where the hand view is in the picture: its middle (x, y), as ``Intrinsics.project`` gives it, and its side
    [pixels]."""

    centre: tuple[float, float]
    side: float


@dataclass(frozen=True, slots=True)
class HandView:
    """view: where the camera is and looks, in the world. width: of what is shown, at the end effector's distance [m].
    size: height and width of the result [pixels]. lens: of ``Frame.whole``."""

    view: View
    width: float
    size: int
    lens: Intrinsics

    def square(self, hand: Array) -> Square | None:
        """Where it is with the end effector at ``hand`` (3,) [m, world]; None for one that is not before the camera."""
        if self.view.axes[2] @ (np.array(self.view.position) - hand) < _NEAREST:
            return None
        part = self.view.around(hand, self.width)
        return Square(self.lens.project(part.right, -part.up, 1.0), 2.0 * part.half * self.lens.fx)

    def of(self, frame: Frame, hand: Array) -> Frame:
        """The hand view of a frame, (size, size, 3); hand: the end effector's place (3,) [m, world].

        It is cut from the device's picture, before that was resized. What the picture does not reach is black.
        """
        square, picture = self.square(hand), frame.image if frame.whole is None else frame.whole
        if square is None:
            image = np.zeros((self.size, self.size, 3), np.uint8)
        else:
            image = window(picture, square.centre, square.side, self.size)
        return Frame(image, frame.counter, frame.seconds)


def hand_view(section: CameraSection, told: Intrinsics | None) -> HandView:
    """What a camera's section says; told: the intrinsics of ``Frame.whole``, None for those of the field of view."""
    return HandView(section.view, section.hand_view, section.size[0], told or lens_of(section))


def hand_views(sections: Mapping[str, CameraSection], cameras: Sequence[KnownCamera]) -> dict[str, HandView]:
    """Those that a robot file asks for, by the names of their cameras; cameras: open ones."""
    return {
        camera.name: hand_view(sections[camera.name], camera.whole_intrinsics)
        for camera in cameras
        if sections[camera.name].hand_view
    }


def lens_of(section: CameraSection) -> Intrinsics:
    """Of what the device sends, by the vertical field of view that the file states for the crop.

    Pixels are taken to be square, and the axis to go through the middle of the crop.
    """
    top, left, height, width = section.crop
    focal = height / 2.0 / math.tan(math.radians(section.view.fovy) / 2.0)
    return Intrinsics(focal, focal, left + (width - 1) / 2.0, top + (height - 1) / 2.0)
