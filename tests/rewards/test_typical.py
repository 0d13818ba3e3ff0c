"""How far pictures' features are from those of the successes that were shown."""

from __future__ import annotations

import torch

from dexloop.rewards.typical import Typical

SPREAD = torch.tensor([5.0, 0.1, 1.0])


def fitted() -> Typical:
    """Successes lie anywhere along the first feature, and in one place of the second; all frames lie anywhere."""
    made = torch.Generator().manual_seed(0)
    successes = torch.tensor([1.0, 2.0, 3.0]) + SPREAD * torch.randn(400, 3, generator=made)
    typical = Typical(["top"], 3)
    typical.fit(successes, 5.0 * torch.randn(400, 3, generator=made))
    return typical


def test_what_differs_among_successes_hardly_counts_and_what_they_share_does() -> None:
    typical = fitted()
    along, across = typical.distances(typical.center + torch.tensor([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]]))
    # The second direction's variance is nearly all of what is added: 0.03 of 25.
    torch.testing.assert_close(along, torch.tensor(16.0 / (25.0 + 0.03 * 25.0)), rtol=0.2, atol=0.0)
    torch.testing.assert_close(across, torch.tensor(16.0 / (0.01 + 0.03 * 25.0)), rtol=0.2, atol=0.0)


def test_it_calls_typical_what_is_no_farther_than_it_may_be_and_everything_until_then() -> None:
    typical = fitted()
    features = typical.center + torch.tensor([[0.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    assert typical(features).tolist() == [True, True]
    typical.farthest.fill_(10.0)
    assert typical(features).tolist() == [True, False]


def test_features_that_never_move_make_no_nonsense() -> None:
    typical = Typical(["top"], 2)
    still = torch.tensor([[0.5, 1.0], [0.5, 1.5], [0.5, 2.0]])
    typical.fit(still, still)
    assert torch.isfinite(typical.precision).all()
    assert typical.distances(still).max() < 5.0 < typical.distances(torch.tensor([[0.6, 1.5]]))[0]


def test_of_cameras_with_a_nearer_look_at_the_hand_only_that_counts() -> None:
    made = torch.Generator().manual_seed(0)
    frames = torch.randn(50, 8, generator=made)
    typical = Typical(["chest", "chest_hand", "head", "head_hand"], 8)
    typical.fit(frames[:20], frames)
    moved = frames[:1].repeat(8, 1) + 3.0 * torch.eye(8)
    counts = typical.distances(moved) != typical.distances(frames[:1])
    assert counts.tolist() == [False, False, True, True] * 2
