"""The stacked critics against what they stand for: independent networks of Linear and LayerNorm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dexloop.networks.critics import EnsembleCritic


def critic(seed: int = 0, members: int = 4) -> EnsembleCritic:
    """A critic with biases, gains and shifts that are not the initial zeros and ones."""
    torch.manual_seed(seed)
    made = EnsembleCritic(5, 2, members=members, width=16)
    with torch.no_grad():
        for parameter in (*made.biases, *made.gains, *made.shifts):
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def member(stacked: EnsembleCritic, index: int) -> nn.Sequential:
    """The same network from PyTorch's own layers."""
    layers: list[nn.Module] = []
    for depth, (weight, bias) in enumerate(zip(stacked.weights, stacked.biases, strict=True)):
        linear = nn.Linear(weight.shape[1], weight.shape[2])
        linear.weight.data.copy_(weight[index].T)
        linear.bias.data.copy_(bias[index, 0])
        layers.append(linear)
        if depth < 2:
            norm = nn.LayerNorm(weight.shape[2])
            norm.weight.data.copy_(stacked.gains[depth][index, 0])
            norm.bias.data.copy_(stacked.shifts[depth][index, 0])
            layers += [norm, nn.ReLU()]
    return nn.Sequential(*layers)


def inputs(batch: int = 7) -> tuple[Tensor, Tensor]:
    torch.manual_seed(9)
    return torch.randn(batch, 5), torch.rand(batch, 2) * 2 - 1


def test_the_stack_equals_a_loop_of_networks() -> None:
    stacked = critic()
    observation, action = inputs()
    values = stacked(observation, action)
    assert values.shape == (4, 7)
    for index in range(4):
        alone = member(stacked, index)(torch.cat([observation, action], -1)).squeeze(-1)
        torch.testing.assert_close(values[index], alone)
    assert len({round(v, 4) for v in values[:, 0].tolist()}) == 4, "the members must differ"


def test_gradients_equal_those_of_a_loop_of_networks() -> None:
    stacked = critic()
    observation, action = inputs()
    target = torch.linspace(-1, 1, 7)
    (stacked(observation, action) - target).square().mean(1).sum().backward()
    for index in range(4):
        alone = member(stacked, index)
        (alone(torch.cat([observation, action], -1)).squeeze(-1) - target).square().mean().backward()
        first, norm, last = alone[0], alone[1], alone[6]
        assert isinstance(first, nn.Linear) and isinstance(norm, nn.LayerNorm) and isinstance(last, nn.Linear)
        for mine, theirs in (
            (stacked.weights[0].grad, first.weight.grad),
            (stacked.weights[2].grad, last.weight.grad),
        ):
            assert mine is not None and theirs is not None
            torch.testing.assert_close(mine[index].T, theirs, atol=1e-6, rtol=1e-4)
        assert stacked.gains[0].grad is not None and norm.weight.grad is not None
        torch.testing.assert_close(stacked.gains[0].grad[index, 0], norm.weight.grad, atol=1e-6, rtol=1e-4)


def test_a_subset_gives_the_rows_of_the_whole() -> None:
    stacked = critic()
    observation, action = inputs()
    whole = stacked(observation, action)
    for chosen in ([2], [3, 0], [1, 1, 2]):
        part = stacked(observation, action, torch.tensor(chosen))
        assert part.shape == (len(chosen), 7)
        torch.testing.assert_close(part, whole[chosen])


def test_actions_in_observations_that_were_read_are_valued_the_same() -> None:
    stacked = critic()
    observation, action = inputs()
    read = stacked.read(observation)
    for rows in (7, 3):
        once = action[:rows].clone().requires_grad_()
        apart = action[:rows].clone().requires_grad_()
        values = stacked.value(read[:, :rows], once)
        wanted = stacked(observation[:rows], apart)
        torch.testing.assert_close(values, wanted)
        gradients = torch.autograd.grad(values.amin(0).sum(), once), torch.autograd.grad(wanted.amin(0).sum(), apart)
        torch.testing.assert_close(*gradients)


def test_a_subset_teaches_only_its_members() -> None:
    stacked = critic()
    stacked(*inputs(), torch.tensor([1, 3])).sum().backward()
    grad = stacked.weights[0].grad
    assert grad is not None
    assert [bool(g.abs().sum() > 0) for g in grad] == [False, True, False, True]


def test_weights_begin_orthogonal_and_different() -> None:
    torch.manual_seed(0)
    made = EnsembleCritic(5, 2, members=3, width=16)
    for weight in made.weights[1]:
        torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(16), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(made.weights[0][0], made.weights[0][1])
