"""The actor-critic's losses compiled, where a compiler is there to do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from dexloop.data.replay import Batch
from dexloop.progress import say


class CriticLoss(Protocol):
    """The critics' loss and numbers by name: noise (B, A), of the next action; subset (Z,) of the critics."""

    def __call__(self, batch: Batch, noise: Tensor, subset: Tensor, /) -> tuple[Tensor, dict[str, Tensor]]: ...


class ActorLoss(Protocol):
    """The actor's loss and numbers by name: noise (2 B, A), of the actions; input_noise (2 B, D) or None."""

    def __call__(
        self, online: Batch, demonstrations: Batch, noise: Tensor, input_noise: Tensor | None, /
    ) -> tuple[Tensor, dict[str, Tensor]]: ...


Losses = tuple[CriticLoss, ActorLoss | None]
"""The critics' and the actor's, None for an actor that does not learn."""


@dataclass(frozen=True, slots=True)
class LossShapes:
    """What the losses are called with: a batch of the critics', half of it and half of it again the actor's.

    subset: the number of critics Z; latent_size D, action_size A. input_noise: whether the actor's gets any.
    """

    batch: int
    subset: int
    latent_size: int
    action_size: int
    input_noise: bool
    device: torch.device


def compile_losses(
    critic_loss: CriticLoss, actor_loss: ActorLoss | None, policy: nn.Module, critic: nn.Module, shapes: LossShapes
) -> Losses | None:
    """The losses compiled for ``shapes`` and tried on blank batches; None, and a line that says why, if that fails.

    policy, critic: the modules that the losses are of; they leave without gradients.
    """
    try:
        critics: CriticLoss = torch.compile(critic_loss, dynamic=False)
        actor: ActorLoss | None = None if actor_loss is None else torch.compile(actor_loss, dynamic=False)
        _try(critics, actor, critic, shapes)
    except Exception as error:  # compilers fail in many ways, and no run has to stop for one
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        say(f"warning: --algorithm.learner.compiled: cannot compile here, so it is left out ({reason})")
        return None
    finally:
        critic.requires_grad_(True)
        for module in (policy, critic):
            module.zero_grad(set_to_none=True)
    return critics, actor


def _try(critic_loss: CriticLoss, actor_loss: ActorLoss | None, critic: nn.Module, shapes: LossShapes) -> None:
    """Compiling happens at the first call, of each pass by itself."""
    rows = shapes.batch
    whole, online, demonstrations = (_blank(count, shapes) for count in (rows, rows // 2, rows // 2))
    subset = torch.arange(shapes.subset, device=shapes.device)
    critic_loss(whole, torch.zeros_like(whole.action), subset)[0].backward()
    if actor_loss is None:
        return
    critic.requires_grad_(False)
    noise = torch.zeros_like(torch.cat([online.action, demonstrations.action]))
    input_noise = torch.zeros_like(torch.cat([online.observation, demonstrations.observation]))
    actor_loss(online, demonstrations, noise, input_noise if shapes.input_noise else None)[0].backward()


def _blank(rows: int, shapes: LossShapes) -> Batch:
    # No tensor twice: a compiled loss relies on what is one and the same in its first call, and is compiled again.
    size, actions = (rows, shapes.latent_size), (rows, shapes.action_size)
    parts = (size, actions, actions, (rows,), size, (rows,), (rows,))
    return Batch(*(torch.zeros(part, device=shapes.device) for part in parts))
