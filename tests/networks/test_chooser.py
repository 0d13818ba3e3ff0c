"""Critics that choose: what they take is the best of what was proposed, and a policy file carries them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dexloop.errors import DexloopError
from dexloop.networks.agent import Agent
from dexloop.networks.chooser import Chooser, PacedClone
from dexloop.networks.critics import EnsembleCritic
from dexloop.networks.policies import GaussianPolicy, PolicyEnsemble, PolicyHead
from dexloop.networks.storage import CriticSize, load_agent, save_agent
from tests.data.samples import SMALL_ROBOT, observations
from tests.networks.test_storage import SMALL


def heads(*actions: float) -> PolicyHead:
    """One head for each constant action in both entries."""
    made: list[GaussianPolicy] = []
    for action in actions:
        head = GaussianPolicy(3, 2, width=8)
        with torch.no_grad():
            head.mean_layer.weight.zero_()
            head.mean_layer.bias.fill_(float(torch.atanh(torch.tensor(action))))
        made.append(head)
    return made[0] if len(made) == 1 else PolicyEnsemble(made)


class Likes(EnsembleCritic):
    """Critics that each like actions near a value of their own."""

    def __init__(self, *liked: float) -> None:
        super().__init__(3, 2, members=len(liked), width=8)
        self.liked = torch.tensor(liked)

    def forward(self, observation: Tensor, action: Tensor, subset: Tensor | None = None) -> Tensor:
        return -(action[:, 0] - self.liked[:, None]).abs()


@pytest.mark.parametrize(
    ("liked", "taken"),
    [(0.8, 0.6), (-0.8, -0.7), (-0.5, -0.4), (0.12, 0.1), (-0.28, -0.3)],
    ids=["a head", "a head of the teacher", "its other", "the mean", "the teacher's mean"],
)
def test_the_best_of_all_proposals_is_taken(liked: float, taken: float) -> None:
    policy, teacher = heads(-0.2, 0.6, -0.1), heads(-0.7, -0.4, 0.2)
    chosen = Chooser(teacher, Likes(liked)).choose(torch.zeros(1, 3), policy)
    torch.testing.assert_close(chosen, torch.full((1, 2), taken), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("liked", "taken"),
    [(0.35, (0.3, 0.2)), (0.19, (0.2, 0.2)), (-0.45, (-0.45, -0.3)), (1.1, (1.0, 0.9))],
    ids=["faster", "as it is", "the teacher's, faster", "at the limit"],
)
def test_exploring_proposals_are_offered_faster_where_actions_are_velocities(
    liked: float, taken: tuple[float, float]
) -> None:
    policy, teacher = heads(0.2, 0.9), heads(-0.3)
    chooser = Chooser(teacher, Likes(liked), (1.5, 1.0))
    torch.testing.assert_close(chooser.choose(torch.zeros(1, 3), policy, 0), torch.tensor([taken]), atol=1e-6, rtol=0)
    for action in chooser.choose(torch.zeros(1, 3), policy)[0]:
        assert any(float(action) == pytest.approx(made, abs=1e-6) for made in (0.2, 0.9, 0.55, -0.3)), "not exploring"


@pytest.mark.parametrize(
    ("liked", "taken"),
    [
        (-0.6, (-0.6, -0.4)),
        (-0.4, (-0.4, -0.4)),
        (-0.1, (-0.1, -0.1)),
        (0.3, (0.3, 0.2)),
        (-0.9, (-0.8, -0.4)),
    ],
    ids=[
        "a head, faster",
        "a head",
        "their mean",
        "another, faster",
        "no faster than that",
    ],
)
@pytest.mark.parametrize("member", [None, 0])
def test_a_clone_is_followed_at_the_pace_that_critics_value(
    liked: float, taken: tuple[float, float], member: int | None
) -> None:
    chooser = PacedClone(Likes(liked), ((1.0, 1.0), (1.5, 1.0), (2.0, 1.0)), 1.0)
    chosen = chooser.choose(torch.zeros(1, 3), heads(-0.4, 0.2), member)
    torch.testing.assert_close(chosen, torch.tensor([taken]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("liked", "pace"),
    [((0.4, 0.5, 0.55), 2.0), ((0.2, 0.2, 0.9), 1.0), ((0.4, 0.4, 0.1), 1.0)],
    ids=["all for faster", "one for much faster", "one against"],
)
def test_the_usual_pace_is_kept_unless_critics_agree_on_another(liked: tuple[float, ...], pace: float) -> None:
    """But exploring one critic's word is enough."""
    chooser = PacedClone(Likes(*liked), ((1.0, 1.0), (2.0, 1.0), (4.0, 1.0)), 1.0)
    latent, policy = torch.zeros(1, 3), heads(0.2)
    assert float(chooser.choose(latent, policy)[0, 0]) == pytest.approx(0.2 * pace)
    for member, value in enumerate(liked):
        wanted = min((0.2, 0.4, 0.8), key=lambda action, value=value: abs(action - value))
        assert float(chooser.choose(latent, policy, member)[0, 0]) == pytest.approx(wanted)


@pytest.mark.parametrize(("caution", "pace"), [(0.0, 2.0), (1.0, 2.0), (2.0, 1.0)])
def test_the_more_caution_the_more_must_be_promised_for_another_pace(caution: float, pace: float) -> None:
    # Twice as fast is worth 0.2, 0.2 and 0 more to them: 0.13 in the mean, with a deviation of 0.12.
    chooser = PacedClone(Likes(0.4, 0.4, 0.3), ((1.0, 1.0), (2.0, 1.0)), caution)
    assert float(chooser.choose(torch.zeros(1, 3), heads(0.2))[0, 0]) == pytest.approx(0.2 * pace)


def test_all_critics_must_agree_unless_one_is_asked() -> None:
    policy, teacher = heads(-0.5, 0.5), heads(0.1)
    chooser = Chooser(teacher, Likes(-1.0, 1.0))
    latent = torch.zeros(1, 3)
    assert float(chooser.choose(latent, policy)[0, 0]) == pytest.approx(0.0, abs=1e-6)
    assert float(chooser.choose(latent, policy, 0)[0, 0]) == pytest.approx(-0.5)
    assert float(chooser.choose(latent, policy, 1)[0, 0]) == pytest.approx(0.5)


def test_exploring_asks_another_critic_in_another_episode_and_the_same_within_one() -> None:
    torch.manual_seed(0)
    alone = SMALL.build()
    agent = Agent(alone.latent, heads(-0.5, 0.5), Chooser(heads(0.1), Likes(-1.0, 1.0)))
    agent.head.heads[0].log_deviation = agent.head.heads[1].log_deviation = -20.0
    agent.latent.encode = lambda *_, **__: torch.zeros(1, 3)  # type: ignore[method-assign]
    (seen,) = observations(SMALL_ROBOT, 1, 1)
    taken: set[float] = set()
    for seed in range(20):
        agent.reset(seed)
        episode = {round(float(agent.act(seen, explore=True).action[0]), 3) for _ in range(5)}
        assert len(episode) == 1
        taken |= episode
        assert agent.act(seen, explore=False).action[0] == pytest.approx(0.0, abs=1e-6)
    assert taken == {-0.5, 0.5}


def test_a_policy_file_with_factors_for_another_robot_is_refused(tmp_path: Path) -> None:
    architecture = replace(SMALL, chooser=CriticSize(members=2, width=8, close_up=False), speedup=(1.5, 1.0))
    given = replace(architecture, speedup=()).build()
    save_agent(tmp_path / "policy.safetensors", given, replace(architecture, speedup=(1.5,)))
    with pytest.raises(DexloopError, match="1 factors for 2 action dimensions"):
        load_agent(tmp_path / "policy.safetensors")
    save_agent(tmp_path / "policy.safetensors", given, replace(architecture, paces=((1.0, 1.0), (2.0, 1.0, 1.0))))
    with pytest.raises(DexloopError, match="3 factors for 2 action dimensions"):
        load_agent(tmp_path / "policy.safetensors")


@pytest.mark.parametrize("factors", [{}, {"speedup": (3.0, 1.0)}, {"paces": ((1.0, 1.0), (3.0, 1.0)), "caution": 0.5}])
def test_a_policy_file_carries_its_critics(tmp_path: Path, factors: dict[str, Any]) -> None:
    torch.manual_seed(0)
    size = CriticSize(members=3, width=16, close_up=True)
    architecture = replace(SMALL, members=2, chooser=size, **factors)
    given = architecture.build()
    given.latent.fit(list(observations(SMALL_ROBOT, 1, 20)))
    assert given.chooser is not None and given.chooser.critic.close_up is not None
    given.chooser.critic.close_up.focus(torch.randn(10, given.latent.size))
    save_agent(tmp_path / "policy.safetensors", given, architecture)
    stored = load_agent(tmp_path / "policy.safetensors")
    assert stored.architecture == architecture
    alone = Agent(given.latent, given.head)
    differs = False
    for observation in observations(SMALL_ROBOT, 2, 5):
        for explore in (False, True):
            for agent in (given, stored.agent, alone):
                agent.reset(7)
            mine, theirs, other = (a.act(observation, explore).action for a in (given, stored.agent, alone))
            np.testing.assert_array_equal(mine, theirs)
            differs = differs or not np.array_equal(mine, other)
    assert differs, "its critics never chose anything but the mean"
