"""A robot that costs nothing, and the bytes that an action and its observation are on the wire."""

from __future__ import annotations

import time

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.backend import Command, Deliver, Sample
from dexloop.robot.devices import Frame
from dexloop.robot.messages import ImageForm, observation_of
from dexloop.sim.control import ACTION_SIZE, action_spec
from dexloop.sim.proprioception import PROPRIO_NAMES, PROPRIO_SIZE
from dexloop.sim.scene import CAMERAS
from dexloop.types import FloatArray, ImageArray, ObservationSpec, RobotSpec
from dexloop.v1 import robot_pb2 as pb

SIZE = 128
ACTION: FloatArray = np.linspace(-0.5, 0.5, ACTION_SIZE, dtype=np.float32)


class PreparedRobot:
    """Answers every action at once, with pictures that were made before: what is left is the service."""

    real_time = False

    def __init__(self) -> None:
        self.spec = RobotSpec(
            name="prepared",
            task="cup",
            action=action_spec("delta"),
            observation=ObservationSpec(
                proprio=PROPRIO_SIZE,
                cameras=dict.fromkeys(CAMERAS, (SIZE, SIZE)),
                privileged=0,
                proprio_names=PROPRIO_NAMES,
            ),
            control_hz=20.0,
            max_steps=10**6,
        )
        self._deliver: Deliver | None = None
        self._pictures = {camera: _picture(seed) for seed, camera in enumerate(CAMERAS)}
        self._proprio = np.linspace(-1.0, 1.0, PROPRIO_SIZE, dtype=np.float32)

    def attach(self, deliver: Deliver) -> None:
        """Samples go to ``deliver`` from now on."""
        self._deliver = deliver

    def detach(self) -> None:
        """Nobody listens any more."""
        self._deliver = None

    def submit(self, command: Command) -> None:
        """The answer, there and then."""
        if self._deliver is not None:
            self._deliver(self.sample(command.sequence, command.values))

    def reset(self, seed: int) -> Sample:
        """Nothing changes."""
        return self.sample(0, ACTION)

    def hold(self) -> Sample:
        """Nothing changes."""
        return self.sample(0, ACTION)

    def stop(self) -> None:
        """It never moves."""

    def rearm(self) -> None:
        """It never moves."""

    def confirm(self) -> str:
        """Nobody is asked."""
        raise DexloopError("nobody is asked")

    def close(self) -> None:
        """It holds nothing."""

    def sample(self, sequence: int, executed: FloatArray) -> Sample:
        """What there is to see after an action."""
        now = time.monotonic()
        return Sample(
            proprio=self._proprio,
            images={camera: Frame(picture, sequence + 1, now) for camera, picture in self._pictures.items()},
            executed=executed,
            seconds=now,
            acknowledged=sequence,
        )


def action_bytes() -> bytes:
    """An action as the client sends it."""
    return pb.Action(sequence=1000, issued_at=time.monotonic(), valid_for=0.1, values=ACTION).SerializeToString()


def observation_bytes(form: ImageForm) -> bytes:
    """An observation as the service sends it."""
    return observation_of(PreparedRobot().sample(1000, ACTION), 1000, form).SerializeToString()


def _picture(seed: int) -> ImageArray:
    """Gradients, discs with edges and a sensor's noise (128, 128, 3): neither flat nor pure noise to a compressor."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    pixels = 255.0 * np.stack([0.3 + 0.5 * rows, 0.4 + 0.3 * columns, 0.6 - 0.3 * rows * columns], axis=-1)
    for _ in range(8):
        row, column, radius = rng.uniform((0.0, 0.0, 0.03), (1.0, 1.0, 0.2))
        pixels[np.hypot(rows - row, columns - column) < radius] = rng.uniform(0.0, 255.0, 3)
    return np.clip(pixels + rng.normal(0.0, 2.0, pixels.shape), 0.0, 255.0).astype(np.uint8)
