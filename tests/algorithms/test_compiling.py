"""What becomes of the losses where they cannot be compiled; that compiled ones are the same is in test_sac."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dexloop.algorithms.compiling import LossShapes, compile_losses
from dexloop.data.replay import Batch

SHAPES = LossShapes(batch=4, subset=2, latent_size=3, action_size=1, input_noise=False, device=torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's own making
def test_a_loss_that_fails_when_tried_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    policy, critic = nn.Linear(3, 1), nn.Linear(4, 1)
    tried: list[tuple[torch.Size, torch.Size]] = []

    # What the compiler leaves alone fails at the same place, in milliseconds.
    @torch.compiler.disable
    def critic_loss(batch: Batch, noise: Tensor, subset: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        tried.append((batch.observation.shape, noise.shape))
        value = critic(torch.cat([batch.observation, batch.action], -1))
        return (value - policy(batch.observation)).square().mean(), {}

    @torch.compiler.disable
    def actor_loss(
        online: Batch, demonstrations: Batch, noise: Tensor, input_noise: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        tried.append((online.observation.shape, noise.shape))
        assert input_noise is None
        raise RuntimeError("no such instruction\nand a page of code")

    state = torch.get_rng_state()
    assert compile_losses(critic_loss, actor_loss, policy, critic, SHAPES) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: --algorithm.learner.compiled: cannot compile here")
    assert line.endswith("(RuntimeError: no such instruction)")
    assert tried == [((4, 3), (4, 1)), ((2, 3), (4, 1))], "half a batch online and half demonstrations, but one noise"
    assert all(p.requires_grad and p.grad is None for module in (policy, critic) for p in module.parameters())
    assert torch.equal(torch.get_rng_state(), state), "a run draws the same numbers with a compiler or without"
