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

from dexloop.algorithms.compiling import ActorLoss, Losses, LossShapes, compile_losses
from dexloop.algorithms.hardware import keep_freed_memory, usable_device
from dexloop.algorithms.iborl import ImitationRegulariser
from dexloop.data.replay import Batch, Replay
from dexloop.errors import DexloopError
from dexloop.networks.critics import EnsembleCritic
from dexloop.networks.policies import PolicyHead, log_probability, squash

# A batch in which hardly anything is worth imitating must not make much of the little.
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True, slots=True)
class ActorCriticConfig:
    """Settings of the learner.

    batch: samples an update, half online and half demonstrations. members: critics E. targets: shared, all learn
    towards the minimum of a few target networks (RLPD); independent, each towards its own, so that they disagree where
    they do not know (Ghasemipour et al., arXiv 2205.13703). subset: how many target networks, drawn anew, a shared
    target takes the minimum of. critic_updates: critic updates for one of the actor.
    actor_value: what the actor climbs, the critics' mean or their minimum.
    extraction: how the policy is drawn from the critics; "gradient" climbs Q(s, pi(s)), "weighted" imitates
    the replay's own actions, each weighted by exp(advantage / beta) (AWAC, arXiv 2006.09359), which cannot
    leave what was tried. imitates: all of the replay, or only what episodes that succeeded did; where a
    policy hangs, the critics find nothing better than hanging on, and "all" imitates that. error: of what is imitated,
    as in behaviour cloning; with another one the policy first unlearns what the clone could. beta: of "weighted";
    climb: how much it climbs Q besides, relative to Q's size (TD3+BC, arXiv 2106.06860).
    input_noise: as in behaviour cloning, for whatever the policy imitates.
    warmup_updates: critic updates before the actor moves. value_range: where a return can lie;
    targets are clipped to it (0 to 1 for one sparse reward). temperature: entropy weight, the
    initial one when ``learn_temperature``; target_entropy: nats, None means -A / 2.
    demonstration_share: of each batch. close_up: steps before the success of a demonstration for which the critics
    get a magnified copy of what they see (``networks.close_up``), 0 for none. device: where the networks learn, cpu
    or cuda or cuda:N; the replay stays in main memory. compiled: whether the losses are compiled, which takes a C++
    compiler and a minute or more when a run begins, and pays for itself in long runs only. precision: of the losses'
    matrix products; bfloat16 is faster where the processor has instructions for it (avx512_bf16), ten times as slow
    elsewhere.
    """

    batch: int = 256
    members: int = 10
    subset: int = 2
    targets: Literal["shared", "independent"] = "shared"
    width: int = 256
    learning_rate: float = 3e-4
    actor_learning_rate: float = 3e-4
    target_rate: float = 0.005
    critic_updates: int = 2
    actor_value: Literal["mean", "min"] = "min"
    extraction: Literal["gradient", "weighted"] = "gradient"
    imitates: Literal["all", "successes"] = "all"
    error: Literal["absolute", "squared"] = "squared"
    beta: float = 0.05
    climb: float = 0.0
    input_noise: float = 0.2
    warmup_updates: int = 2_000
    value_range: tuple[float, float] | None = (0.0, 1.0)
    temperature: float = 0.0
    learn_temperature: bool = False
    target_entropy: float | None = None
    demonstration_share: float = 0.5
    close_up: int = 0
    device: str = "cpu"
    compiled: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        """Raise DexloopError for values that do not go together, or cannot be meant."""
        if self.close_up < 0:
            raise DexloopError(f"--algorithm.learner.close-up must not be negative, got {self.close_up}")
        if self.learn_temperature and self.temperature <= 0:
            raise DexloopError(
                "--algorithm.learner.learn-temperature needs a --algorithm.learner.temperature to begin at"
            )


class ActorCritic:
    """Learns a policy and its critics from a replay; ``update`` is one actor update and its critics'.

    learns_policy: False for a policy that stays as it is and whose worth critics learn (policy evaluation).
    """

    def __init__(
        self,
        policy: PolicyHead,
        replay: Replay,
        config: ActorCriticConfig,
        *,
        latent_size: int,
        action_size: int,
        regulariser: ImitationRegulariser | None = None,
        learns_policy: bool = True,
    ) -> None:
        self._device = usable_device(config.device)
        self.policy = policy.to(self._device)
        self.replay = replay
        self.config = config
        self.regulariser = regulariser
        if regulariser is not None:
            regulariser.teacher.to(self._device)
        self.critic = EnsembleCritic(
            latent_size, action_size, config.members, config.width, close_up=config.close_up > 0
        ).to(self._device)
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        initial = math.log(max(config.temperature, 1e-8))
        self.log_temperature = torch.tensor(initial, device=self._device, requires_grad=True)
        self._target_entropy = -action_size / 2 if config.target_entropy is None else config.target_entropy
        self._critic_parameters = list(self.critic.parameters())
        self._target_parameters = list(self.target.parameters())
        self._critic_optimizer = torch.optim.Adam(self._critic_parameters, config.learning_rate, fused=True)
        self._actor_optimizer = torch.optim.Adam(policy.parameters(), config.actor_learning_rate, fused=True)
        self._temperature_optimizer = torch.optim.Adam([self.log_temperature], config.learning_rate)
        self.updates = 0
        plain: Losses = self._critic_objective, self._actor_objective if learns_policy else None
        compiled = None
        if config.compiled:
            noisy = config.extraction == "weighted"
            shapes = LossShapes(config.batch, config.subset, latent_size, action_size, noisy, self._device)
            with self._in_precision():
                compiled = compile_losses(*plain, policy=self.policy, critic=self.critic, shapes=shapes)
        self.compiled = compiled is not None
        self._critic_loss, self._actor_loss = compiled or plain
        keep_freed_memory()

    def focus(self, latents: Tensor) -> None:
        """Make the critics' close-up for latents (N, D) like these; without one, nothing."""
        for critic in (self.critic, self.target):
            if critic.close_up is not None:
                critic.close_up.focus(latents.to(self._device))

    @property
    def warming_up(self) -> bool:
        """Whether only the critic learns as yet."""
        return self.updates < self.config.warmup_updates

    def update(self) -> dict[str, Tensor]:
        """Critic updates, then one of the actor if it learns and is not warming up; metrics as tensors (no sync)."""
        metrics: dict[str, Tensor] = {}
        for _ in range(self.config.critic_updates):
            batch = self.replay.sample(self.config.batch, self.config.demonstration_share)
            metrics |= self._update_critic(batch)
            self.updates += 1
        if self._actor_loss is not None and not self.warming_up:
            metrics |= self._update_actor(self._actor_loss)
        return metrics

    def _update_critic(self, batch: Batch) -> dict[str, Tensor]:
        # All that is random is drawn here, by the processor's generator: a checkpoint holds its state, and compiled
        # functions and GPUs draw other numbers.
        noise = torch.randn_like(batch.action).to(self._device)
        subset = torch.randperm(self.config.members)[: self.config.subset].to(self._device)
        with self._in_precision():
            loss, metrics = self._critic_loss(self._moved(batch), noise, subset)
        self._critic_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._critic_optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(self._target_parameters, self._critic_parameters, strict=True):
                slow.lerp_(fast, self.config.target_rate)
        return metrics

    def _critic_objective(self, batch: Batch, noise: Tensor, subset: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The critics' loss and the numbers worth plotting. noise (B, A): of the next action; subset (Z,)."""
        config = self.config
        with torch.no_grad():
            mean, log_deviation = self.policy(batch.next_observation)
            action = squash(mean, log_deviation, noise)
            if config.targets == "shared":
                following = self.target(batch.next_observation, action, subset).amin(0)
            else:
                following = self.target(batch.next_observation, action)
            target = batch.reward + batch.discount * following
            if config.value_range is not None:
                target = target.clamp(*config.value_range)
        values = self.critic(batch.observation, batch.commanded)
        loss = (values - target).square().mean(1).sum()
        half = len(batch.reward) - round(config.batch * config.demonstration_share)
        return loss, {
            "critic_loss": loss.detach() / config.members,
            "q_mean": values.detach()[:, :half].mean(),
            "return_mean": batch.outcome[:half].mean(),
            "q_demonstrations": values.detach()[:, half:].mean(),
        }

    def _update_actor(self, actor_loss: ActorLoss) -> dict[str, Tensor]:
        online = self.replay.sample(self.config.batch // 2, 0.0)
        demonstrations = self.replay.sample(self.config.batch // 2, 1.0)
        tried = torch.cat([online.action, demonstrations.action])
        noise = torch.randn_like(tried).to(self._device)
        seen = torch.cat([online.observation, demonstrations.observation])
        input_noise = torch.randn_like(seen).to(self._device) if self.config.extraction == "weighted" else None
        self.critic.requires_grad_(False)
        with self._in_precision():
            loss, metrics = actor_loss(self._moved(online), self._moved(demonstrations), noise, input_noise)
        self._actor_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._actor_optimizer.step()
        self.critic.requires_grad_(True)
        if self.config.learn_temperature:
            gap = metrics["entropy"] - self._target_entropy
            self._temperature_optimizer.zero_grad(set_to_none=True)
            (self.log_temperature.exp() * gap).backward()
            self._temperature_optimizer.step()
            metrics["temperature"] = self.log_temperature.detach().exp()
        return metrics

    def _actor_objective(
        self, online: Batch, demonstrations: Batch, noise: Tensor, input_noise: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The actor's loss and the numbers worth plotting.

        noise (2 B, A): of the actions; input_noise (2 B, D): of the observations, for weighted extraction.
        """
        config = self.config
        observation = torch.cat([online.observation, demonstrations.observation])
        mean, log_deviation = self.policy(observation)
        # Up to five actions are valued in the same observations, which are read but once.
        read = self.critic.read(observation)
        value = self._agreed(self.critic.value(read, squash(mean, log_deviation, noise)))
        metrics = {"q_policy": value.detach().mean()}
        loss = -value.mean()
        tried = torch.cat([online.action, demonstrations.action])
        error = self._error(observation, mean, tried, input_noise)
        if input_noise is not None:
            with torch.no_grad():
                commanded = torch.cat([online.commanded, demonstrations.commanded])
                advantage = self._agreed(self.critic.value(read, commanded)) - value
                # Imitate tried actions by how much better than the policy's own the critics find them.
                weight = (advantage / config.beta).clamp(max=3.0).exp()
                if config.imitates == "successes":
                    weight = weight * (torch.cat([online.outcome, demonstrations.outcome]) > 0)
            climb = config.climb * value.mean() / value.detach().abs().mean().clamp(min=1e-3)
            loss = (weight * error).mean() / weight.mean().clamp(min=_LEAST_WEIGHT) - climb
            metrics["advantage_weight"] = weight.mean()
        if self.regulariser is not None:
            half = len(online.action)
            loss, extra = self.regulariser.apply(
                loss,
                lambda action: self.critic.value(read[:, :half], action),
                online.observation,
                torch.tanh(mean[:half]),
                error[half:].mean(),
            )
            metrics |= extra
        if config.temperature > 0:
            log_prob = log_probability(mean, log_deviation, noise).mean()
            loss = loss + self.log_temperature.detach().exp() * log_prob
            metrics["entropy"] = -log_prob.detach()
        return loss, metrics

    def _error(self, observation: Tensor, mean: Tensor, tried: Tensor, input_noise: Tensor | None) -> Tensor:
        """How far the policy (its output before the tanh: mean) is from actions (B, A) that were tried: (B,).

        With noise as it was cloned, each head of an ensemble by itself: without, they unlearn what the noise taught
        them and come to lean on one another.
        """
        if input_noise is None:
            gaps = (torch.tanh(mean) - tried)[None]
        else:
            noisy = observation + self.config.input_noise * input_noise
            gaps = torch.stack([head.mean(noisy) - tried for head in self.policy.heads])
        return (gaps.abs() if self.config.error == "absolute" else gaps.square()).sum(-1).mean(0)

    def _agreed(self, values: Tensor) -> Tensor:
        """What the actor goes by (B,) of the members' values (E, B)."""
        return values.mean(0) if self.config.actor_value == "mean" else values.amin(0)

    def _in_precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16")

    def _moved(self, batch: Batch) -> Batch:
        return Batch(*(part.to(self._device) for part in batch))

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
