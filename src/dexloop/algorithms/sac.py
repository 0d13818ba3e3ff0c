"""The actor-critic that RLPD, HIL-SERL and IBORL share: ensemble critics on symmetric batches.

RLPD: Ball et al., arXiv 2302.02948. SAC: Haarnoja et al., arXiv 1812.05905. The policy may start from
a clone, and an ``ImitationRegulariser`` may hold it there; without either it is RLPD from scratch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from dexloop.algorithms.iborl import ImitationRegulariser
from dexloop.data.replay import Batch, Replay
from dexloop.networks.critics import EnsembleCritic
from dexloop.networks.policies import GaussianPolicy


@dataclass(frozen=True, slots=True)
class ActorCriticConfig:
    """Settings of the learner.

    batch: samples an update, half online and half demonstrations. members: critics E; subset: how
    many of them, drawn anew, a target takes the minimum of. critic_updates: critic updates for one
    of the actor. actor_value: what the actor climbs, the critics' mean or their minimum.
    extraction: how the policy is drawn from the critics; "gradient" climbs Q(s, pi(s)), "weighted"
    imitates the replay's own actions, each weighted by exp(advantage / beta) (AWAC, arXiv 2006.09359),
    which cannot leave what was tried. beta: of "weighted"; climb: how much it climbs
    Q besides, relative to Q's size (TD3+BC, arXiv 2106.06860). input_noise: as in behaviour cloning, for
    whatever the policy imitates.
    warmup_updates: critic updates before the actor moves. value_range: where a return can lie;
    targets are clipped to it (0 to 1 for one sparse reward). temperature: entropy weight, the
    initial one when ``learn_temperature``; target_entropy: nats, None means -A / 2.
    demonstration_share: of each batch.
    """

    batch: int = 256
    members: int = 10
    subset: int = 2
    width: int = 256
    learning_rate: float = 3e-4
    actor_learning_rate: float = 3e-4
    target_rate: float = 0.005
    critic_updates: int = 2
    actor_value: Literal["mean", "min"] = "min"
    extraction: Literal["gradient", "weighted"] = "gradient"
    beta: float = 0.05
    climb: float = 0.0
    input_noise: float = 0.2
    warmup_updates: int = 2_000
    value_range: tuple[float, float] | None = (0.0, 1.0)
    temperature: float = 0.0
    learn_temperature: bool = False
    target_entropy: float | None = None
    demonstration_share: float = 0.5


class ActorCritic:
    """Learns a policy and its critics from a replay; ``update`` is one actor update and its critics'."""

    def __init__(
        self,
        policy: GaussianPolicy,
        replay: Replay,
        config: ActorCriticConfig,
        *,
        latent_size: int,
        action_size: int,
        regulariser: ImitationRegulariser | None = None,
    ) -> None:
        self.policy = policy
        self.replay = replay
        self.config = config
        self.regulariser = regulariser
        self.critic = EnsembleCritic(latent_size, action_size, config.members, config.width)
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_temperature = torch.tensor(math.log(max(config.temperature, 1e-8)), requires_grad=True)
        self._target_entropy = -action_size / 2 if config.target_entropy is None else config.target_entropy
        self._critic_parameters = list(self.critic.parameters())
        self._target_parameters = list(self.target.parameters())
        self._critic_optimizer = torch.optim.Adam(self._critic_parameters, config.learning_rate, fused=True)
        self._actor_optimizer = torch.optim.Adam(policy.parameters(), config.actor_learning_rate, fused=True)
        self._temperature_optimizer = torch.optim.Adam([self.log_temperature], config.learning_rate)
        self.updates = 0

    @property
    def warming_up(self) -> bool:
        """Whether only the critic learns as yet."""
        return self.updates < self.config.warmup_updates

    def update(self) -> dict[str, Tensor]:
        """Critic updates, then one of the actor unless warming up; metrics as tensors (no sync)."""
        metrics: dict[str, Tensor] = {}
        for _ in range(self.config.critic_updates):
            batch = self.replay.sample(self.config.batch, self.config.demonstration_share)
            metrics |= self._update_critic(batch)
            self.updates += 1
        if not self.warming_up:
            metrics |= self._update_actor()
        return metrics

    def _update_critic(self, batch: Batch) -> dict[str, Tensor]:
        config = self.config
        with torch.no_grad():
            action, _ = self.policy.sample(batch.next_observation)
            subset = torch.randperm(config.members)[: config.subset]
            following = self.target(batch.next_observation, action, subset).amin(0)
            target = batch.reward + batch.discount * following
            if config.value_range is not None:
                target = target.clamp(*config.value_range)
        values = self.critic(batch.observation, batch.action)
        loss = (values - target).square().mean(1).sum()
        self._critic_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._critic_optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(self._target_parameters, self._critic_parameters, strict=True):
                slow.lerp_(fast, config.target_rate)
        half = len(target) - round(config.batch * config.demonstration_share)
        return {
            "critic_loss": loss.detach() / config.members,
            "q_mean": values.detach()[:, :half].mean(),
            "return_mean": batch.outcome[:half].mean(),
            "q_demonstrations": values.detach()[:, half:].mean(),
        }

    def _update_actor(self) -> dict[str, Tensor]:
        config = self.config
        online = self.replay.sample(config.batch // 2, 0.0)
        demonstrations = self.replay.sample(config.batch // 2, 1.0)
        observation = torch.cat([online.observation, demonstrations.observation])
        action, log_prob = self.policy.sample(observation)
        self.critic.requires_grad_(False)
        values = self.critic(observation, action)
        self.critic.requires_grad_(True)
        value = values.mean(0) if config.actor_value == "mean" else values.amin(0)
        metrics: dict[str, Tensor] = {"q_policy": value.detach().mean()}
        loss = -value.mean()
        if config.extraction == "weighted":
            climb = config.climb * value.mean() / value.detach().abs().mean().clamp(min=1e-3)
            loss, extra = self._weighted_imitation(online, demonstrations, value.detach())
            loss = loss - climb
            metrics |= extra
        if self.regulariser is not None:
            loss, extra = self.regulariser.apply(loss, self.critic, self.policy, online, demonstrations)
            metrics |= extra
        if config.temperature > 0:
            loss = loss + self.log_temperature.detach().exp() * log_prob.mean()
            metrics["entropy"] = -log_prob.detach().mean()
        self._actor_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._actor_optimizer.step()
        if config.learn_temperature:
            gap = -log_prob.detach().mean() - self._target_entropy
            self._temperature_optimizer.zero_grad(set_to_none=True)
            (self.log_temperature.exp() * gap).backward()
            self._temperature_optimizer.step()
            metrics["temperature"] = self.log_temperature.detach().exp()
        return metrics

    def _weighted_imitation(
        self, online: Batch, demonstrations: Batch, value: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Imitate tried actions by how much better than the policy's own the critics find them."""
        observation = torch.cat([online.observation, demonstrations.observation])
        tried = torch.cat([online.action, demonstrations.action])
        with torch.no_grad():
            values = self.critic(observation, tried)
            tried_value = values.mean(0) if self.config.actor_value == "mean" else values.amin(0)
            weight = ((tried_value - value) / self.config.beta).clamp(max=3.0).exp()
        seen = observation + self.config.input_noise * torch.randn_like(observation)
        error = (self.policy.mean(seen) - tried).square().sum(-1)
        return (weight * error).mean() / weight.mean(), {"advantage_weight": weight.mean()}

    def state_dict(self) -> dict[str, Any]:
        """Everything an update depends on, as tensors and numbers in nested dictionaries."""
        return {
            "policy": self.policy.state_dict(),
            "critic": self.critic.state_dict(),
            "target": self.target.state_dict(),
            "log_temperature": self.log_temperature.detach().clone(),
            "critic_optimizer": self._critic_optimizer.state_dict(),
            "actor_optimizer": self._actor_optimizer.state_dict(),
            "temperature_optimizer": self._temperature_optimizer.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; raises KeyError or RuntimeError when it does not fit."""
        self.policy.load_state_dict(state["policy"])
        self.critic.load_state_dict(state["critic"])
        self.target.load_state_dict(state["target"])
        with torch.no_grad():
            self.log_temperature.copy_(state["log_temperature"])
        self._critic_optimizer.load_state_dict(state["critic_optimizer"])
        self._actor_optimizer.load_state_dict(state["actor_optimizer"])
        self._temperature_optimizer.load_state_dict(state["temperature_optimizer"])
        self.updates = int(state["updates"])
