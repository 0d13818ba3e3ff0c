"""A simulation behind the service that waits for every action: the same numbers as without the service."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.backend import Command, Deliver, Sample, Truth
from dexloop.robot.devices import Frame
from dexloop.sim.env import DexEnv
from dexloop.types import RobotSpec


class Lockstep:
    """Serves a DexEnv; between two actions no time passes in it."""

    real_time = False

    def __init__(self, env: DexEnv) -> None:
        self._env = env
        self._deliver: Deliver | None = None
        self._pictures = 0
        # An OpenGL context belongs to one thread, and calls come from many.
        self._worker = ThreadPoolExecutor(1, "dexloop-simulation")

    @property
    def spec(self) -> RobotSpec:
        """The environment's."""
        return self._env.robot_spec

    def attach(self, deliver: Deliver) -> None:
        """Samples go to ``deliver`` from now on."""
        self._deliver = deliver

    def detach(self) -> None:
        """Nothing moves without actions."""
        self._deliver = None

    def submit(self, command: Command) -> None:
        """One control step, there and then."""
        self._worker.submit(self._step, command).result()

    def _step(self, command: Command) -> None:
        deliver = self._deliver
        if deliver is None:
            return
        if time.monotonic() > command.expires:
            command.refuse("expired before it could begin")
            return
        raw, _, _, truncated, info = self._env.step(command.values)
        deliver(self._sample(raw, info, acknowledged=command.sequence, truncated=truncated))

    def reset(self, seed: int) -> Sample:
        """A new episode of the environment."""
        return self._worker.submit(lambda: self._sample(*self._env.reset(seed=seed))).result()

    def hold(self) -> Sample:
        """One control period of rest."""
        return self._worker.submit(self._held).result()

    def _held(self) -> Sample:
        still = np.zeros(self.spec.action.size, np.float32)
        return self._sample(self._env.hold(), {"executed": still, "is_success": False, "holding": False})

    def stop(self) -> None:
        """No motion until ``rearm``."""
        self._env.stop()

    def rearm(self) -> None:
        """Take actions again."""
        self._env.rearm()

    def confirm(self) -> str:
        """Nobody is ever asked."""
        raise DexloopError("a simulation asks nobody before an episode")

    def close(self) -> None:
        """Free what the environment holds, in the thread that has it."""
        self._worker.submit(self._env.close).result()
        self._worker.shutdown()

    def _sample(
        self, raw: dict[str, Any], info: dict[str, Any], acknowledged: int = 0, *, truncated: bool = False
    ) -> Sample:
        now = time.monotonic()
        self._pictures += 1
        truth = None
        if "privileged" in raw:
            truth = Truth(raw["privileged"], bool(info["is_success"]), bool(info["holding"]))
        return Sample(
            proprio=raw["proprio"],
            images={camera: Frame(raw[camera], self._pictures, now) for camera in self.spec.observation.cameras},
            executed=info["executed"],
            seconds=now,
            acknowledged=acknowledged,
            fault=info.get("fault"),
            truncated=truncated,
            truth=truth,
        )
