"""LeRobot's SAC learner with its own policy and replay, at the shapes of the state contest.

The order of calls is that of LeRobot 0.4.4's learner (``lerobot.rl.learner``); its checks for NaN, logging
and queues are left out, which favours it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_

SERIES = "0.4."
_STATE = "observation.state"
_LARGEST_GRADIENT = 40.0


class Unavailable(Exception):
    """LeRobot cannot take part here; the message says why."""


def lerobot_update(
    observation_size: int,
    action_size: int,
    *,
    batch: int,
    rows: int,
    members: int,
    critic_updates: int,
    compiled: bool,
) -> Callable[[], None]:
    """``critic_updates`` of the critics and one of actor and temperature, as one call.

    Targets are the minimum of two of the ``members``. compiled: LeRobot's ``use_torch_compile``, which is on by
    default. Raises Unavailable.
    """
    try:
        version = metadata.version("lerobot")
    except metadata.PackageNotFoundError as error:
        raise Unavailable(f"lerobot is not installed; {SERIES}x takes part where it is") from error
    if not version.startswith(SERIES):
        raise Unavailable(f"lerobot {version} is installed; {SERIES}x takes part, whose policy holds its critics")
    try:
        learner = _Learner(observation_size, action_size, batch, rows, members, critic_updates, compiled)
        # The first update compiles; where there is no compiler it is better to know now.
        learner.update()
    except (ImportError, RuntimeError) as error:
        first_line = str(error).partition("\n")[0]
        raise Unavailable(f"lerobot {version} fails here: {type(error).__name__}: {first_line}") from error
    return learner.update


class _Learner:
    def __init__(
        self,
        observation_size: int,
        action_size: int,
        batch: int,
        rows: int,
        members: int,
        critic_updates: int,
        compiled: bool,
    ) -> None:
        from lerobot.configs.types import FeatureType, PolicyFeature  # pyright: ignore[reportMissingImports]
        from lerobot.policies.sac.configuration_sac import SACConfig  # pyright: ignore[reportMissingImports]
        from lerobot.policies.sac.modeling_sac import SACPolicy  # pyright: ignore[reportMissingImports]
        from lerobot.rl.buffer import ReplayBuffer, concatenate_batch_transitions  # pyright: ignore[reportMissingImports]

        config = SACConfig(
            device="cpu",
            input_features={_STATE: PolicyFeature(FeatureType.STATE, (observation_size,))},
            output_features={"action": PolicyFeature(FeatureType.ACTION, (action_size,))},
            num_critics=members,
            num_subsample_critics=2 if members > 2 else None,
            # So that its critics' first layer is as wide as everyone's.
            latent_dim=observation_size,
            use_backup_entropy=False,
            use_torch_compile=compiled,
        )
        self.critic_updates = critic_updates
        self.policy: Any = SACPolicy(config)
        self.policy.train()
        actor = [p for n, p in self.policy.actor.named_parameters() if not n.startswith("encoder")]
        self.critic_optimizer = torch.optim.Adam(self.policy.critic_ensemble.parameters(), config.critic_lr)
        self.actor_optimizer = torch.optim.Adam(actor, config.actor_lr)
        self.temperature_optimizer = torch.optim.Adam([self.policy.log_alpha], config.critic_lr)
        self.join = concatenate_batch_transitions
        self.halves: list[Any] = []
        for _ in range(2):
            buffer = ReplayBuffer(rows, device="cpu", state_keys=[_STATE], storage_device="cpu", use_drq=False)
            for _ in range(rows):
                state = {_STATE: torch.randn(1, observation_size)}
                action = torch.rand(1, action_size) * 2 - 1
                buffer.add(state, action, 0.0, state, False, False, complementary_info={"discrete_penalty": 0.0})
            self.halves.append(buffer.get_iterator(batch_size=batch // 2, async_prefetch=False, queue_size=2))

    def update(self) -> None:
        for _ in range(self.critic_updates - 1):
            self._update_critics(self._sample())
            self.policy.update_target_networks()
        batch = self._sample()
        self._update_critics(batch)
        self._step(self.actor_optimizer, batch, "actor", self.policy.actor.parameters())
        self._step(self.temperature_optimizer, batch, "temperature", [self.policy.log_alpha])
        self.policy.update_target_networks()

    def _sample(self) -> dict[str, Any]:
        online, demonstrations = self.halves
        return self.join(left_batch_transitions=next(online), right_batch_transition=next(demonstrations))

    def _update_critics(self, batch: dict[str, Any]) -> None:
        self._step(self.critic_optimizer, batch, "critic", self.policy.critic_ensemble.parameters())

    def _step(self, optimizer: torch.optim.Optimizer, batch: dict[str, Any], model: str, parameters: Any) -> None:
        loss = self.policy.forward(batch, model=model)[f"loss_{model}"]
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(parameters, _LARGEST_GRADIENT)
        optimizer.step()
