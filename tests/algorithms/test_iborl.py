"""The weight of imitation (Eq. 3) for critics whose preference is known, and both objectives."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from dexloop.algorithms.iborl import ImitationRegulariser, RegulariserConfig
from dexloop.data.replay import Batch
from dexloop.networks.critics import EnsembleCritic
from dexloop.networks.policies import GaussianPolicy


class Prefers:
    """Critics that like action 0 with a sign each, everywhere or only where the state's first entry is positive."""

    def __init__(self, *signs: float, only_positive_states: bool = False) -> None:
        self._signs = torch.tensor(signs)
        self._only_positive = only_positive_states

    def __call__(self, observation: Tensor, action: Tensor) -> Tensor:
        value = self._signs[:, None] * action[:, 0]
        return value * (observation[:, 0] > 0) if self._only_positive else value


def constant(action: float) -> GaussianPolicy:
    """A policy whose mean is this action in every state."""
    torch.manual_seed(0)
    policy = GaussianPolicy(2, 2, width=8)
    with torch.no_grad():
        policy.mean_layer.weight.zero_()
        policy.mean_layer.bias.fill_(float(torch.atanh(torch.tensor(action))))
    return policy


def weight(critic: Any, teacher: float, learner: float, observation: Tensor) -> float:
    regulariser = ImitationRegulariser(constant(teacher), RegulariserConfig())
    actions = (policy.mean(observation) for policy in (regulariser.teacher, constant(learner)))
    return float(regulariser.weight(partial(critic, observation), *actions))


def applied(
    regulariser: ImitationRegulariser, value_loss: Tensor, critic: Any, learner: GaussianPolicy, *halves: Batch
) -> tuple[Tensor, dict[str, Tensor]]:
    """What the actor-critic does with the regulariser."""
    online, demonstrations = halves
    seen = online.observation
    imitation = (learner.mean(demonstrations.observation) - demonstrations.action).square().sum(-1).mean()
    return regulariser.apply(value_loss, partial(critic, seen), seen, learner.mean(seen), imitation)


STATES = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0], [-3.0, 1.0]])


@pytest.mark.parametrize(
    ("critic", "expected"),
    [
        (Prefers(1, 1, 1), 1.0),
        (Prefers(-1, -1, -1), 0.0),
        (Prefers(1, -1, -1, -1), 0.25),
        (Prefers(1, 1, 1, -1), 0.75),
        (Prefers(1, 1, only_positive_states=True), 0.5),
        (Prefers(0, 0), 0.0),
    ],
    ids=["teacher", "learner", "a quarter", "three quarters", "half the states", "indifferent"],
)
def test_the_weight_is_how_often_critics_prefer_the_teacher(critic: Prefers, expected: float) -> None:
    assert weight(critic, teacher=0.5, learner=-0.5, observation=STATES) == expected


def test_the_same_policy_is_not_preferred_to_itself() -> None:
    torch.manual_seed(1)
    assert weight(EnsembleCritic(2, 2, members=3, width=8), 0.3, 0.3, STATES) == 0.0


def batches() -> tuple[Batch, Batch]:
    torch.manual_seed(2)

    def batch(count: int) -> Batch:
        nothing = torch.zeros(count)
        seen = torch.randn(count, 2)
        tried = torch.rand(count, 2) * 2 - 1
        return Batch(seen, tried, tried, nothing, seen, nothing, nothing)

    return batch(8), batch(8)


@pytest.mark.parametrize("objective", ["eq2", "algorithm1"])
@pytest.mark.parametrize(
    ("critic", "expected"), [(Prefers(1, 1, 1, -1), 0.75), (Prefers(-1, -1), 0.0), (Prefers(1), 1.0)]
)
def test_both_objectives_are_their_formulas(objective: Any, critic: Any, expected: float) -> None:
    """Eq. 2: (1 - lambda)(-Q) + alpha lambda L_bc; Algorithm 1 leaves the first factor out."""
    online, demonstrations = batches()
    learner = constant(-0.5)
    regulariser = ImitationRegulariser(constant(0.5), RegulariserConfig(alpha=2.5, objective=objective))
    value_loss = torch.tensor(-0.7)
    loss, metrics = applied(regulariser, value_loss, critic, learner, online, demonstrations)
    imitation = (demonstrations.action + 0.5).square().sum(-1).mean()
    scale = 1 - expected if objective == "eq2" else 1.0
    torch.testing.assert_close(loss.detach(), scale * value_loss + 2.5 * expected * imitation)
    assert metrics["bc_weight"] == expected
    torch.testing.assert_close(metrics["bc_loss"], imitation)
    assert not metrics["bc_loss"].requires_grad


def test_the_imitation_term_pulls_towards_the_demonstrations() -> None:
    online, demonstrations = batches()
    learner: Any = constant(-0.5)
    regulariser = ImitationRegulariser(constant(0.5), RegulariserConfig())
    critic: Any = Prefers(1)
    optimizer = torch.optim.SGD(learner.parameters(), 0.05)

    def imitation() -> float:
        with torch.no_grad():
            error = learner.mean(demonstrations.observation) - demonstrations.action
            return float(error.square().sum(-1).mean())

    before = imitation()
    for _ in range(20):
        optimizer.zero_grad()
        applied(regulariser, torch.zeros(()), critic, learner, online, demonstrations)[0].backward()
        optimizer.step()
    assert imitation() < 0.9 * before


def test_the_teacher_is_frozen() -> None:
    online, demonstrations = batches()
    torch.manual_seed(3)
    teacher, learner = GaussianPolicy(2, 2, width=8), GaussianPolicy(2, 2, width=8)
    critic = EnsembleCritic(2, 2, members=2, width=8)
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    regulariser = ImitationRegulariser(teacher, RegulariserConfig(alpha=1.0))
    optimizer = torch.optim.SGD([*teacher.parameters(), *learner.parameters()], 1.0)
    action, _ = learner.sample(online.observation)
    value_loss = -critic(online.observation, action).mean()
    applied(regulariser, value_loss, critic, learner, online, demonstrations)[0].backward()
    optimizer.step()
    assert all(not p.requires_grad and p.grad is None for p in teacher.parameters())
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert learner.mean_layer.weight.grad is not None and learner.mean_layer.weight.grad.abs().sum() > 0
