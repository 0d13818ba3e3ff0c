"""What happens at every control step: the simulation, its cameras, and the policy that acts."""

from __future__ import annotations

import numpy as np
from timing import Contest, Contestant, RateAim, Scale

from dexloop.errors import DexloopError
from dexloop.networks.agent import Agent
from dexloop.networks.encoders import EncoderConfig, KeypointEncoder
from dexloop.networks.latent import LatentEncoder
from dexloop.networks.policies import GaussianPolicy
from dexloop.sim.control import ACTION_SIZE
from dexloop.sim.env import PROPRIO_SIZE, DexEnv
from dexloop.sim.rendering import Renderer
from dexloop.sim.scene import CAMERAS
from dexloop.types import Observation

# No round may come to the deadline: a reset costs as much as many steps.
_NO_DEADLINE = 1e6


def environment(scale: Scale) -> Contest:
    """Control steps of the simulation alone."""
    env = DexEnv(observation="privileged", end_on_success=False, max_seconds=_NO_DEADLINE)
    return Contest((_stepping("environment/state-only", env, scale.env_steps),))


def cameras(scale: Scale) -> Contest:
    """Control steps that show two pictures, by their size, and pairs of pictures without a step."""
    stepping: list[Contestant] = []
    try:
        for size in (64, 84, 128):
            env = DexEnv(image_size=size, hand_view=0.0, end_on_success=False, max_seconds=_NO_DEADLINE)
            stepping.append(_stepping(f"cameras/steps-{size}", env, scale.env_steps))
            env.reset(seed=0)
        env = DexEnv(observation="privileged")
        env.reset(seed=0)
        renderer = Renderer(env.simulation.model)
    except DexloopError as error:
        return Contest((), skipped={"cameras": str(error)})
    pairs = Contestant(
        "cameras/pairs-84", lambda: renderer.pictures(env.simulation.data, CAMERAS, 84, 84), scale.env_steps
    )
    return Contest((*stepping, pairs), rates=(RateAim("cameras/pairs-84", 300.0),))


def _stepping(name: str, env: DexEnv, calls: int) -> Contestant:
    rng = np.random.default_rng(0)

    def step() -> None:
        env.step(rng.uniform(-1.0, 1.0, ACTION_SIZE).astype(np.float32))

    return Contestant(name, step, calls, before_round=lambda: env.reset(seed=0))


def actor(scale: Scale) -> Contest:
    """From two 64 by 64 pictures to an action."""
    encoder = KeypointEncoder(CAMERAS, EncoderConfig())
    latent = LatentEncoder(PROPRIO_SIZE, encoder, privileged=False)
    agent = Agent(latent, GaussianPolicy(latent.size, ACTION_SIZE))
    rng = np.random.default_rng(0)
    images = {camera: rng.integers(0, 256, (64, 64, 3), np.uint8) for camera in CAMERAS}
    observation = Observation(rng.uniform(-1, 1, PROPRIO_SIZE).astype(np.float32), images)
    agent.reset(0)
    return Contest((Contestant("actor/act-64", lambda: agent.act(observation, explore=True), scale.acts),))
