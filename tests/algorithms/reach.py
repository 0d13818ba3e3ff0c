"""A one-dimensional reach: move a point from anywhere on a line into a small window."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dexloop.data.replay import Replay

TARGET, WINDOW, REACH, DEADLINE = 0.4, 0.1, 0.2, 12
Actor = Callable[[Tensor], Tensor]


def expert(observation: Tensor) -> Tensor:
    """The shortest way: straight to the target."""
    return ((TARGET - observation[:, :1]) / REACH).clamp(-0.95, 0.95)


def uniform(observation: Tensor) -> Tensor:
    return torch.rand(len(observation), 1) * 2 - 1


def run(actor: Actor, start: float) -> tuple[Tensor, Tensor, bool]:
    """Observations (T + 1, 2), position and remaining time; actions (T, 1); and success."""
    position, seen, actions = start, [torch.tensor([start, 1.0])], list[Tensor]()
    while len(actions) < DEADLINE:
        with torch.no_grad():
            action = actor(seen[-1][None])[0]
        position = min(1.0, max(-1.0, position + REACH * float(action)))
        actions.append(action)
        seen.append(torch.tensor([position, 1 - len(actions) / DEADLINE]))
        if abs(position - TARGET) < WINDOW:
            return torch.stack(seen), torch.stack(actions), True
    return torch.stack(seen), torch.stack(actions), False


def store(replay: Replay, key: str, actor: Actor, start: float, *, demonstration: bool) -> bool:
    seen, actions, success = run(actor, start)
    rewards = torch.zeros(len(actions))
    rewards[-1] = float(success)
    replay.add(
        key,
        seen[:, None],
        actions,
        rewards,
        terminated=success,
        demonstration=demonstration or success,
        online=not demonstration,
    )
    return success


def success_rate(actor: Actor) -> float:
    """From starts all along the line, those in the window left out."""
    starts = [s for s in torch.linspace(-1, 1, 41).tolist() if abs(s - TARGET) > 2 * WINDOW]
    return sum(run(actor, start)[2] for start in starts) / len(starts)
