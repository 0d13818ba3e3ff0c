"""The actor-critic learns, its targets are what they should be, and it continues where it was saved."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from dexloop.algorithms.iborl import ImitationRegulariser, RegulariserConfig
from dexloop.algorithms.sac import ActorCritic, ActorCriticConfig
from dexloop.data.replay import Replay, ReplayConfig
from dexloop.networks.policies import GaussianPolicy
from tests.algorithms import reach

TINY = ActorCriticConfig(batch=64, members=3, width=32, learning_rate=1e-3, actor_learning_rate=1e-3, warmup_updates=0)


def learner(config: ActorCriticConfig = TINY, *, regularised: bool = False, learn: bool = False) -> ActorCritic:
    torch.manual_seed(0)
    replay = Replay(2, 1, ReplayConfig(capacity=4_000, discount=0.9), seed=0)
    policy = GaussianPolicy(2, 1, width=32, standard_deviation=0.5, learn_deviation=learn)
    teacher = GaussianPolicy(2, 1, width=32)
    regulariser = ImitationRegulariser(teacher, RegulariserConfig()) if regularised else None
    return ActorCritic(policy, replay, config, latent_size=2, action_size=1, regulariser=regulariser)


def filled(config: ActorCriticConfig = TINY, *, regularised: bool = False, learn: bool = False) -> ActorCritic:
    made = learner(config, regularised=regularised, learn=learn)
    for index, start in enumerate((-0.9, -0.2, 0.9)):
        reach.store(made.replay, f"demos/{index}", reach.expert, start, demonstration=True)
    for index in range(20):
        reach.store(made.replay, f"episodes/{index}", reach.uniform, -1 + index / 10, demonstration=False)
    return made


def explore(made: ActorCritic) -> reach.Actor:
    return lambda observation: made.policy.sample(observation)[0]


@pytest.mark.parametrize("deadline_is_terminal", [True, False])
def test_it_solves_a_small_reach_online_from_a_sparse_reward(deadline_is_terminal: bool) -> None:
    made = learner(replace(TINY, target_rate=0.02))
    made.replay.config = replace(made.replay.config, deadline_is_terminal=deadline_is_terminal)
    before = reach.success_rate(made.policy.mean)
    for index, start in enumerate((-0.9, 0.9)):
        reach.store(made.replay, f"demos/{index}", reach.expert, start, demonstration=True)
    generator = torch.Generator().manual_seed(1)
    for index in range(40):
        start = float(torch.rand(1, generator=generator)) * 2 - 1
        reach.store(made.replay, f"episodes/{index}", explore(made), start, demonstration=False)
        for _ in range(8):
            made.update()
    after = reach.success_rate(made.policy.mean)
    assert before < 0.5 and after >= 0.95, (before, after)
    assert reach.success_rate(reach.uniform) < 0.7


