"""The squashed Gaussian against PyTorch's distributions, and what it must not see."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from dexloop.networks.policies import GaussianPolicy, PolicyEnsemble


def policy(**options: object) -> GaussianPolicy:
    torch.manual_seed(0)
    return GaussianPolicy(6, 3, width=32, **options).double()  # type: ignore[arg-type]


@pytest.mark.parametrize(("deviation", "learned"), [(0.1, False), (0.7, False), (0.4, True)])
def test_log_probability_is_that_of_the_squashed_gaussian(deviation: float, learned: bool) -> None:
    head = policy(standard_deviation=deviation, learn_deviation=learned)
    if head.deviation_layer is not None:
        torch.nn.init.normal_(head.deviation_layer.weight, std=0.3)
    observation = torch.randn(50, 6, dtype=torch.float64)
    action, log_prob = head.sample(observation)
    mean, log_deviation = head(observation)
    squashed = TransformedDistribution(Normal(mean, log_deviation.exp()), [TanhTransform()])
    torch.testing.assert_close(log_prob, squashed.log_prob(action).sum(-1), atol=1e-7, rtol=1e-7)
    assert action.abs().max() < 1


def test_log_probability_stays_finite_where_tanh_is_flat() -> None:
    head = policy(standard_deviation=1.0)
    with torch.no_grad():
        head.mean_layer.bias.fill_(40.0)
    action, log_prob = head.sample(torch.randn(20, 6, dtype=torch.float64))
    assert torch.isfinite(log_prob).all() and (action > 0.999).all()
    log_prob.sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in head.parameters())


def test_samples_scatter_around_the_mean_as_the_deviation_says() -> None:
    head = policy(standard_deviation=0.2)
    observation = torch.randn(1, 6, dtype=torch.float64).expand(20_000, -1)
    raw = torch.atanh(head.sample(observation)[0].detach())
    mean, log_deviation = head(observation[:1])
    torch.testing.assert_close(log_deviation.exp(), torch.full((1, 3), 0.2, dtype=torch.float64))
    torch.testing.assert_close(raw.mean(0), mean[0].detach(), atol=0.01, rtol=0)
    torch.testing.assert_close(raw.std(0), torch.full((3,), 0.2, dtype=torch.float64), atol=0.01, rtol=0)
    torch.testing.assert_close(head.mean(observation[:1]), torch.tanh(mean))


def test_a_learned_deviation_begins_where_it_was_told_and_stays_in_bounds() -> None:
    head = policy(standard_deviation=0.3, learn_deviation=True)
    assert head.deviation_layer is not None
    observation = torch.randn(4, 6, dtype=torch.float64)
    torch.testing.assert_close(head(observation)[1].exp(), torch.full((4, 3), 0.3, dtype=torch.float64))
    for bias, limit in ((50.0, 0.0), (-50.0, -5.0)):
        torch.nn.init.constant_(head.deviation_layer.bias, bias)
        assert (head(observation)[1] == limit).all()


def test_ignored_entries_change_nothing_and_all_others_do() -> None:
    head = policy(ignored=(1, 4))
    observation = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    head.mean(observation).sum().backward()
    assert observation.grad is not None
    seen = [bool(observation.grad[:, i].abs().sum() > 0) for i in range(6)]
    assert seen == [True, False, True, True, False, True]
    changed = observation.detach().clone()
    changed[:, [1, 4]] += 10.0
    assert torch.equal(head.mean(changed), head.mean(observation))
    assert torch.equal(head(changed)[0], head(observation)[0])


def test_samples_are_differentiable_through_mean_and_deviation() -> None:
    head = policy(learn_deviation=True)
    action, log_prob = head.sample(torch.randn(8, 6, dtype=torch.float64))
    (action.sum() + log_prob.sum()).backward()
    assert head.deviation_layer is not None
    for layer in (head.mean_layer, head.deviation_layer):
        assert layer.weight.grad is not None and layer.weight.grad.abs().sum() > 0


def ensemble(members: int = 3, **options: object) -> PolicyEnsemble:
    torch.manual_seed(0)
    return PolicyEnsemble([GaussianPolicy(6, 3, width=32, **options) for _ in range(members)])  # type: ignore[arg-type]


def test_an_ensemble_acts_on_the_mean_of_what_its_heads_would_do() -> None:
    many, observation = ensemble(), torch.randn(50, 6)
    with torch.no_grad():
        for head, bias in zip(many.heads, (4.0, -1.0, 0.3), strict=True):
            head.mean_layer.bias.fill_(bias)
    expected = sum(torch.tanh(head(observation)[0]) for head in many.heads) / 3
    torch.testing.assert_close(many.mean(observation), expected)
    torch.testing.assert_close(torch.tanh(many(observation)[0]), expected)
    assert not torch.allclose(many.heads[0].mean(observation), expected, atol=0.1)


def test_an_ensemble_of_saturated_heads_stays_finite_and_learns_on() -> None:
    many, observation = ensemble(), torch.randn(20, 6)
    with torch.no_grad():
        for head in many.heads:
            head.mean_layer.bias.fill_(30.0)
    mean, _ = many(observation)
    action, log_prob = many.sample(observation)
    assert torch.isfinite(mean).all() and torch.isfinite(log_prob).all() and (action > 0.99).all()
    action.sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in many.parameters())


def test_the_deviation_of_an_ensemble_is_that_of_its_heads() -> None:
    many = ensemble(standard_deviation=0.2)
    many.log_deviation = math.log(0.3)
    torch.testing.assert_close(many(torch.zeros(2, 6))[1].exp(), torch.full((2, 3), 0.3))
    assert all(head.log_deviation == many.log_deviation for head in many.heads)
    learned = ensemble(learn_deviation=True)
    for head, bias in zip(learned.heads, (0.0, 0.3, -0.6), strict=True):
        assert head.deviation_layer is not None
        torch.nn.init.constant_(head.deviation_layer.bias, bias)
    torch.testing.assert_close(learned(torch.zeros(2, 6))[1].exp(), torch.full((2, 3), 0.1 * math.exp(-0.1)))
