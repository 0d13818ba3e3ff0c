"""The critics' close-up: what differs little before success differs much in it, and nothing grows without bound."""

from __future__ import annotations

import pytest
import torch

from dexloop.algorithms.sac import ActorCriticConfig
from dexloop.errors import DexloopError
from dexloop.networks.close_up import CloseUp
from dexloop.networks.critics import EnsembleCritic


def focused() -> CloseUp:
    """Before success the first entry lies within 0.2 of 1, the second is always 3, the third moves as ever."""
    torch.manual_seed(0)
    close_up = CloseUp(3)
    close_up.focus(torch.stack([1.0 + 0.2 * torch.randn(400), torch.full((400,), 3.0), torch.randn(400)], 1))
    return close_up


def test_the_latents_come_first_as_they_are() -> None:
    latents = torch.randn(7, 3)
    seen = focused()(latents)
    assert seen.shape == (7, 6)
    torch.testing.assert_close(seen[:, :3], latents)


def test_near_success_small_differences_become_large_ones() -> None:
    near = focused()(torch.tensor([[1.0, 3.0, 0.0], [1.2, 3.0, 0.2]]))[:, 3:]
    difference = near[1] - near[0]
    assert difference[0] == pytest.approx(1.0, rel=0.1), "a deviation of what is seen before success"
    assert difference[2] == pytest.approx(0.2, rel=0.1), "what moves as ever is not magnified"


def test_what_never_moves_before_success_is_magnified_no_more_than_tenfold() -> None:
    near = focused()(torch.tensor([[1.0, 3.0, 0.0], [1.0, 3.1, 0.0]]))[:, 3:]
    assert near[1, 1] - near[0, 1] == pytest.approx(1.0, rel=1e-4)


def test_far_from_success_the_close_up_is_clipped() -> None:
    near = focused()(torch.tensor([[-5.0, 5.0, 0.0], [-4.0, 4.0, 0.0]]))[:, 3:]
    assert near[:, :2].tolist() == [[-5.0, 5.0], [-5.0, 5.0]]


def test_critics_with_a_close_up_value_actions_alike_however_they_are_asked() -> None:
    critic = EnsembleCritic(3, 2, members=4, width=16, close_up=True)
    assert critic.close_up is not None
    critic.close_up.load_state_dict(focused().state_dict())
    observation, action = torch.randn(9, 3), torch.rand(9, 2) * 2 - 1
    values = critic(observation, action)
    torch.testing.assert_close(critic.value(critic.read(observation), action), values)
    torch.testing.assert_close(critic(observation, action, torch.tensor([2, 0])), values[[2, 0]])
    # The same as a plain critic that is shown both copies.
    plain = EnsembleCritic(6, 2, members=4, width=16)
    plain.load_state_dict({k: v for k, v in critic.state_dict().items() if not k.startswith("close_up")})
    torch.testing.assert_close(plain(critic.close_up(observation), action), values)


def test_a_close_up_of_a_negative_number_of_steps_is_refused() -> None:
    with pytest.raises(DexloopError, match="close-up must not be negative"):
        ActorCriticConfig(close_up=-1)
