"""The actor-critic's update as one would first write it: a network at a time, and every value from scratch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from dexloop.algorithms.sac import ActorCritic
from dexloop.networks.critics import EnsembleCritic


class PlainActorCritic:
    """Begins as ``twin`` is and samples from its replay; knows the regulariser's objective of Eq. 2 only."""

    def __init__(self, twin: ActorCritic) -> None:
        self.config, self.replay, self.regulariser = twin.config, twin.replay, twin.regulariser
        self.members = _members(twin.critic)
        self.targets = _members(twin.target)
        self.policy = copy.deepcopy(twin.policy)
        self.log_temperature = twin.log_temperature.detach().clone().requires_grad_()
        self.target_entropy = -twin.policy.mean_layer.out_features / 2
        critics = [p for member in self.members for p in member.parameters()]
        self.critic_optimizer = torch.optim.Adam(critics, self.config.learning_rate)
        self.actor_optimizer = torch.optim.Adam(self.policy.parameters(), self.config.actor_learning_rate)
        self.temperature_optimizer = torch.optim.Adam([self.log_temperature], self.config.learning_rate)

    def update(self) -> None:
        for _ in range(self.config.critic_updates):
            self._update_critics()
        self._update_actor()

    def distance(self, made: ActorCritic) -> float:
        """The largest difference between a parameter here and there."""
        here = [self.policy, *self.members, *self.targets]
        there = [made.policy, *_members(made.critic), *_members(made.target)]
        pairs = [(self.log_temperature, made.log_temperature)]
        for a, b in zip(here, there, strict=True):
            pairs += zip(a.parameters(), b.parameters(), strict=True)
        return max(float((a - b).detach().abs().max()) for a, b in pairs)

    def _update_critics(self) -> None:
        config = self.config
        batch = self.replay.sample(config.batch, config.demonstration_share)
        with torch.no_grad():
            action, _ = self.policy.sample(batch.next_observation)
            drawn = torch.randperm(config.members)[: config.subset]
            values = _values(self.targets, batch.next_observation, action)
            following = values if config.targets == "independent" else values[drawn].min(0).values
            target = batch.reward + batch.discount * following
            target = target if config.value_range is None else target.clamp(*config.value_range)
        loss = (_values(self.members, batch.observation, batch.action) - target).square().mean(1).sum()
        _step(self.critic_optimizer, loss)
        with torch.no_grad():
            for target_member, member in zip(self.targets, self.members, strict=True):
                for slow, fast in zip(target_member.parameters(), member.parameters(), strict=True):
                    slow.copy_((1 - config.target_rate) * slow + config.target_rate * fast)

    def _update_actor(self) -> None:
        config = self.config
        online = self.replay.sample(config.batch // 2, 0.0)
        demonstrations = self.replay.sample(config.batch // 2, 1.0)
        observation = torch.cat([online.observation, demonstrations.observation])
        action, log_prob = self.policy.sample(observation)
        value = self._agreed(observation, action)
        loss = -value.mean()
        if config.extraction == "weighted":
            tried = torch.cat([online.action, demonstrations.action])
            noise = config.input_noise * torch.randn_like(observation)
            weight = ((self._agreed(observation, tried) - value) / config.beta).clamp(max=3.0).exp().detach()
            error = self._error(observation + noise, tried)
            size = value.detach().abs().mean().clamp(min=1e-3)
            loss = (weight * error).mean() / weight.mean() - config.climb * value.mean() / size
        if self.regulariser is not None:
            values = [
                _values(self.members, online.observation, policy.mean(online.observation))
                for policy in (self.regulariser.teacher, self.policy)
            ]
            worse = (values[0] > values[1]).float().mean()
            # As it was cloned where it was, with the noise of the demonstrations' half.
            seen = demonstrations.observation
            seen = seen + noise[len(online.observation) :] if config.extraction == "weighted" else seen
            error = self._error(seen, demonstrations.action)
            loss = (1 - worse) * loss + self.regulariser.config.alpha * worse * error.mean()
        if config.temperature > 0:
            loss = loss + self.log_temperature.detach().exp() * log_prob.mean()
        _step(self.actor_optimizer, loss)
        if config.learn_temperature:
            gap = -log_prob.detach().mean() - self.target_entropy
            _step(self.temperature_optimizer, self.log_temperature.exp() * gap)

    def _error(self, seen: Tensor, tried: Tensor) -> Tensor:
        gap = self.policy.mean(seen) - tried
        return gap.abs().sum(-1) if self.config.error == "absolute" else gap.square().sum(-1)

    def _agreed(self, observation: Tensor, action: Tensor) -> Tensor:
        values = _values(self.members, observation, action)
        return values.mean(0) if self.config.actor_value == "mean" else values.min(0).values


def _values(members: list[nn.Sequential], observation: Tensor, action: Tensor) -> Tensor:
    return torch.stack([member(torch.cat([observation, action], -1)).squeeze(-1) for member in members])


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _members(stacked: EnsembleCritic) -> list[nn.Sequential]:
    """Every member from PyTorch's own layers, with the weights that it has in the stack."""
    members: list[nn.Sequential] = []
    for index in range(stacked.members):
        layers: list[nn.Module] = []
        for depth, (weight, bias) in enumerate(zip(stacked.weights, stacked.biases, strict=True)):
            layers.append(_loaded(nn.Linear(*weight.shape[1:]), weight[index].T, bias[index, 0]))
            if depth < 2:
                gain, shift = stacked.gains[depth][index, 0], stacked.shifts[depth][index, 0]
                layers += [_loaded(nn.LayerNorm(weight.shape[2]), gain, shift), nn.ReLU()]
        members.append(nn.Sequential(*layers))
    return members


def _loaded(layer: nn.Module, weight: Tensor, bias: Tensor) -> nn.Module:
    layer.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
    return layer
