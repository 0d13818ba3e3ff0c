"""What the learner process holds: the latent encoder, the replay, and the actor-critic on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dexloop.algorithms.encoding import EpisodeEncoder
from dexloop.algorithms.sac import ActorCritic
from dexloop.algorithms.samples import add_episode, rewards_of
from dexloop.data.replay import Replay
from dexloop.networks.agent import Agent
from dexloop.networks.chooser import Chooser, PacedClone
from dexloop.networks.policies import PolicyHead
from dexloop.networks.storage import Architecture, CriticSize, agent_to_bytes
from dexloop.types import Episode


class OnlineLearner:
    """Encodes each episode once, when it arrives; every update then costs what state updates cost.

    copy_successes: whether successful online episodes go into the demonstration half as well. Once the critics are warm
    they choose what is done (``networks.chooser``): with ``paces``, factors (A,) for each, among what the heads of the
    policy propose at each of them, and the policy is a clone that stays as it is; else with a ``teacher`` among what
    policy and teacher propose, exploring also with ``speedup``, factors (A,) or empty. With neither the policy acts
    alone. caution: of the choice among paces.
    """

    def __init__(
        self,
        architecture: Architecture,
        encoder: EpisodeEncoder,
        replay: Replay,
        learner: ActorCritic,
        *,
        copy_successes: bool = True,
        teacher: PolicyHead | None = None,
        speedup: tuple[float, ...] = (),
        paces: tuple[tuple[float, ...], ...] = (),
        caution: float = 0.0,
    ) -> None:
        self.architecture = architecture
        self.encoder = encoder
        self.replay = replay
        self.learner = learner
        self.online_steps = 0
        self._copy_successes = copy_successes
        self._teacher = teacher
        self._speedup = speedup
        self._paces = paces
        self._caution = caution
        self._taken: set[str] = set()
        self._before_success: list[Tensor] = []

    @property
    def updates(self) -> int:
        """Critic updates made so far."""
        return self.learner.updates

    def add_demonstration(self, key: str, episode: Episode) -> None:
        """Put a demonstration into the demonstration half; it is never evicted."""
        latents = self.encoder(key, episode)
        add_episode(self.replay, key, episode, latents, demonstration=True, online=False)
        steps = self.learner.config.close_up
        if steps > 0 and episode.success:
            self._before_success.append(latents[-steps:, 0])
            self.learner.focus(torch.cat(self._before_success))

    def add(self, key: str, episode: Episode) -> None:
        """Put an online episode into the replay, and into the demonstration half if it succeeded and is to be copied.

        One that came before is taken for amended: its verdict may have changed since, its steps have not.
        """
        copied = episode.success and self._copy_successes
        if key in self._taken:
            terminated = episode.transitions[-1].terminated
            self.replay.amend(key, rewards_of(episode), terminated=terminated, demonstration=copied)
            return
        add_episode(self.replay, key, episode, self.encoder(key, episode), demonstration=copied, online=True)
        self.online_steps += len(episode)
        self._taken.add(key)

    def update(self) -> Mapping[str, float]:
        """One update of the actor with its critic updates."""
        return {name: float(value) for name, value in self.learner.update().items()}

    def policy(self, version: int) -> bytes:
        """The present policy as a file's content; its facts say how many online steps it could learn from."""
        agent, architecture = Agent(self.encoder.latent, self.learner.policy), self.architecture
        if not self.learner.warming_up:
            config, critic = self.learner.config, self.learner.critic
            size = CriticSize(config.members, config.width, close_up=config.close_up > 0)
            if self._paces:
                agent.chooser = PacedClone(critic, self._paces, self._caution)
                architecture = replace(architecture, chooser=size, paces=self._paces, caution=self._caution)
            elif self._teacher is not None:
                agent.chooser = Chooser(self._teacher, critic, self._speedup)
                architecture = replace(architecture, chooser=size, speedup=self._speedup)
        return agent_to_bytes(agent, architecture, version=version, steps=self.online_steps)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds; the replay is not part of it, as the episodes are on the disk."""
        return {
            "learner": self.learner.state_dict(),
            "latent": dict(self.encoder.latent.state_dict()),
            "sampler": self.replay.generator_state(),
            "torch": torch.get_rng_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.learner.load_state_dict(state["learner"])
        self.encoder.latent.load_state_dict(state["latent"])
        self.replay.set_generator_state(state["sampler"])
        torch.set_rng_state(state["torch"])
