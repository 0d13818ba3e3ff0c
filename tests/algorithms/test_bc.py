"""Behaviour cloning fits the actions it is shown."""

from __future__ import annotations

import pytest
import torch

from dexloop.algorithms.bc import CloningConfig, clone
from dexloop.data.replay import Replay, ReplayConfig
from dexloop.errors import DexloopError
from dexloop.networks.policies import GaussianPolicy, PolicyEnsemble, PolicyHead

MAP = torch.tensor([[0.6, -0.3, 0.0], [0.1, 0.2, -0.5]])


def demonstrations(episodes: int = 10, length: int = 20) -> Replay:
    """Actions that are a linear map of the observations."""
    torch.manual_seed(3)
    replay = Replay(3, 2, ReplayConfig(capacity=episodes * (length + 1)))
    for episode in range(episodes):
        observations = torch.rand(length + 1, 1, 3) * 2 - 1
        actions = observations[:-1, 0] @ MAP.T
        replay.add(
            str(episode),
            observations,
            actions,
            torch.zeros(length),
            terminated=True,
            demonstration=True,
            online=False,
        )
    return replay


def error(policy: PolicyHead) -> float:
    torch.manual_seed(4)
    unseen = torch.rand(500, 3) * 2 - 1
    with torch.no_grad():
        return float((policy.mean(unseen) - unseen @ MAP.T).square().mean())


def test_it_fits_a_linear_map_on_states_it_has_not_seen() -> None:
    torch.manual_seed(0)
    policy = GaussianPolicy(3, 2, width=64)
    seen: list[tuple[int, float]] = []
    before = error(policy)
    config = CloningConfig(updates=400, batch=128, learning_rate=2e-3, input_noise=0.0, error="squared")
    loss = clone(policy, demonstrations(), config, lambda update, loss: seen.append((update, loss)))
    assert before > 0.1 and error(policy) < 0.002
    assert loss < 0.002
    assert [update for update, _ in seen] == [0, 100, 200, 300]
    assert seen[-1][1] < seen[0][1] / 20


def test_the_deviation_is_no_business_of_cloning() -> None:
    torch.manual_seed(0)
    policy = GaussianPolicy(3, 2, width=16, standard_deviation=0.25)
    clone(policy, demonstrations(), CloningConfig(updates=5))
    torch.testing.assert_close(policy(torch.zeros(1, 3))[1].exp(), torch.full((1, 2), 0.25))


def test_input_noise_makes_the_clone_smoother() -> None:
    """A jump in the action between neighbouring states is softened by noise on what the clone sees."""
    steps = torch.linspace(-1, 1, 201)
    replay = Replay(1, 1, ReplayConfig(capacity=202))
    replay.add(
        "0",
        torch.cat([steps, steps[-1:]])[:, None, None],
        0.8 * torch.sign(steps)[:, None],
        torch.zeros(201),
        terminated=True,
        demonstration=True,
        online=False,
    )
    slopes: list[float] = []
    for noise in (0.0, 0.5):
        torch.manual_seed(0)
        policy = GaussianPolicy(1, 1, width=64)
        clone(policy, replay, CloningConfig(updates=300, learning_rate=3e-3, input_noise=noise, error="squared"))
        with torch.no_grad():
            slopes.append(float(policy.mean(torch.tensor([[0.1]])) - policy.mean(torch.tensor([[-0.1]]))))
    assert slopes[0] > 1.2 and slopes[1] < 0.8 * slopes[0]


def test_the_absolute_error_does_what_was_done_more_often_and_the_squared_one_something_between() -> None:
    """Two demonstrators in five pause where the others move."""
    replay = Replay(1, 1, ReplayConfig(capacity=600))
    for episode in range(50):
        replay.add(
            str(episode),
            torch.zeros(11, 1, 1),
            torch.full((10, 1), 0.0 if episode % 5 < 2 else 0.5),
            torch.zeros(10),
            terminated=True,
            demonstration=True,
            online=False,
        )
    means: list[float] = []
    for error in ("absolute", "squared"):
        torch.manual_seed(0)
        policy = GaussianPolicy(1, 1, width=16)
        clone(policy, replay, CloningConfig(updates=400, learning_rate=3e-3, input_noise=0.0, error=error))
        means.append(policy.mean(torch.zeros(1, 1)).item())
    assert abs(means[0] - 0.5) < 0.05
    assert abs(means[1] - 0.3) < 0.05


def test_every_head_of_an_ensemble_is_a_clone_by_itself() -> None:
    torch.manual_seed(0)
    many = PolicyEnsemble([GaussianPolicy(3, 2, width=64) for _ in range(3)])
    clone(many, demonstrations(), CloningConfig(updates=400, batch=128, learning_rate=2e-3, input_noise=0.0))
    alone = [error(head) for head in many.heads]
    assert max(alone) < 0.01 and len(set(alone)) == 3
    assert error(many) < sum(alone) / 3, "their mean is better than they are in the mean (Jensen)"


@pytest.mark.parametrize("members", [0, 101])
def test_a_number_of_heads_that_cannot_be_meant_is_refused(members: int) -> None:
    with pytest.raises(DexloopError, match=r"--cloning\.members must lie in"):
        CloningConfig(members=members)
