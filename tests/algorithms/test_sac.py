"""The actor-critic learns, its targets are what they should be, and it continues where it was saved."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dexloop.algorithms.iborl import ImitationRegulariser, RegulariserConfig
from dexloop.algorithms.sac import ActorCritic, ActorCriticConfig
from dexloop.data.replay import Replay, ReplayConfig
from dexloop.errors import DexloopError
from dexloop.networks.policies import GaussianPolicy, PolicyEnsemble
from tests.algorithms import reach
from tests.algorithms.plain import PlainActorCritic

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


FIXED_NOISE = replace(TINY, target_rate=0.02, warmup_updates=300, actor_learning_rate=3e-4)
ENTROPY = replace(FIXED_NOISE, actor_value="mean", temperature=1e-2, learn_temperature=True)


@pytest.mark.parametrize("config", [FIXED_NOISE, ENTROPY], ids=["fixed noise, minimum", "learned noise, mean"])
def test_it_solves_a_small_reach_from_a_sparse_reward(config: ActorCriticConfig) -> None:
    """Chance reaches the target from about one start in five, a constant action from half of them at most."""
    made = learner(config, learn=config.learn_temperature)
    with torch.no_grad():
        # Exploration must be able to overrule the first mean, which is otherwise the same everywhere.
        made.policy.mean_layer.weight.mul_(0.1)
    for index, start in enumerate((-0.9, -0.1, 0.9)):
        reach.store(made.replay, f"demos/{index}", reach.expert, start, demonstration=True)
    for index in range(20):
        reach.store(made.replay, f"rollouts/{index}", reach.uniform, -1 + index / 10, demonstration=False)
    for index in range(50):
        start = (index * 0.618) % 1 * 2 - 1
        reach.store(made.replay, f"episodes/{index}", explore(made), start, demonstration=False)
        for _ in range(8):
            made.update()
    assert made.updates == 50 * 8 * config.critic_updates
    assert reach.success_rate(reach.uniform) < 0.5
    assert reach.success_rate(made.policy.mean) >= 0.9


def parameters(made: ActorCritic) -> list[torch.Tensor]:
    modules = (made.policy, made.critic, made.target)
    return [p.detach().clone() for m in modules for p in m.parameters()] + [made.log_temperature.detach().clone()]


@pytest.mark.parametrize(("error", "wanted"), [("absolute", -0.5), ("squared", 0.0)])
def test_the_absolute_error_goes_to_what_was_done_most_and_the_squared_one_to_the_mean(
    error: str, wanted: float
) -> None:
    """In one and the same state -0.5 was done in two of three steps, and 1.0 in the third."""
    config = replace(WEIGHTED, climb=0.0, beta=1e6, input_noise=0.0, error=error)
    made = learner(config)
    for index in range(6):
        made.replay.add(
            f"done{index}",
            torch.zeros(21, 1, 2),
            torch.full((20, 1), 0.999 if index % 3 == 0 else -0.5),
            torch.ones(20),
            terminated=True,
            demonstration=index < 3,
            online=index >= 3,
        )
    for _ in range(400):
        made.update()
    assert made.policy.mean(torch.zeros(1, 2)).item() == pytest.approx(wanted, abs=0.12)


def test_critics_value_the_command_and_the_policy_imitates_what_came_of_it() -> None:
    """In one and the same state the robot's limits leave 0.2 of every command; the negative ones succeed."""
    made = learner(replace(WEIGHTED, climb=0.0, beta=1e6, input_noise=0.0))
    for index in range(8):
        succeeds = index % 2 == 0
        made.replay.add(
            f"cut{index}",
            torch.zeros(2, 1, 2),
            torch.full((1, 1), 0.2),
            torch.tensor([float(succeeds)]),
            commanded=torch.full((1, 1), -0.9 if succeeds else 0.9),
            terminated=True,
            demonstration=index < 4,
            online=index >= 4,
        )
    for _ in range(400):
        made.update()
    state, commands = torch.zeros(2, 2), torch.tensor([[-0.9], [0.9]])
    values = made.critic(state, commands).mean(0)
    assert values[0] > 0.9 and values[1] < 0.1
    assert made.policy.mean(state[:1]).item() == pytest.approx(0.2, abs=0.1)


def test_the_heads_of_an_ensemble_imitate_each_by_itself() -> None:
    """Two heads that are off to both sides are right in the mean, and are still pulled towards what was done."""
    made = learner(replace(WEIGHTED, climb=0.0, beta=1e6, input_noise=0.0))
    policy = PolicyEnsemble([GaussianPolicy(2, 1, width=32) for _ in range(2)])
    with torch.no_grad():
        for head, bias in zip(policy.heads, (0.5, -0.5), strict=True):
            head.mean_layer.weight.zero_()
            head.mean_layer.bias.fill_(bias)
    made = ActorCritic(policy, made.replay, made.config, latent_size=2, action_size=1)
    made.replay.add(
        "still",
        torch.zeros(21, 1, 2),
        torch.zeros(20, 1),
        torch.ones(20),
        terminated=True,
        demonstration=True,
        online=True,
    )
    for _ in range(150):
        made.update()
    assert all(abs(head.mean(torch.zeros(1, 2)).item()) < 0.1 for head in policy.heads)


def test_while_warming_up_only_the_critics_learn() -> None:
    made = filled(replace(TINY, warmup_updates=6))
    policy, critic = copy.deepcopy(made.policy.state_dict()), copy.deepcopy(made.critic.state_dict())
    for updates in (2, 4):
        metrics = made.update()
        assert made.updates == updates and made.warming_up and "q_policy" not in metrics
    assert all(torch.equal(v, policy[k]) for k, v in made.policy.state_dict().items())
    assert not torch.equal(made.critic.weights[0], critic["weights.0"])
    assert "q_policy" in made.update() and not made.warming_up
    assert not torch.equal(made.policy.mean_layer.weight, policy["mean_layer.weight"])


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's own making
def test_of_a_policy_that_stays_critics_learn_what_it_is_worth(compiled: bool) -> None:
    """It always goes right by 0.15: from -0.4 it is there after five steps, from 0.9 never; data is anybody's."""
    config = replace(TINY, target_rate=0.05, compiled=compiled)
    replay = Replay(2, 1, ReplayConfig(capacity=4_000, discount=0.9), seed=0)
    torch.manual_seed(0)
    policy = GaussianPolicy(2, 1, width=32, standard_deviation=0.01)
    with torch.no_grad():
        policy.mean_layer.weight.zero_()
        policy.mean_layer.bias.fill_(0.973)  # whose tanh is 0.75
    before = copy.deepcopy(policy.state_dict())
    for index in range(60):
        start = (index * 0.618) % 1 * 2 - 1
        actor = reach.uniform if index % 2 else policy.mean
        reach.store(replay, f"episodes/{index}", actor, start, demonstration=False)
    made = ActorCritic(policy, replay, config, latent_size=2, action_size=1, learns_policy=False)
    assert made.compiled is compiled
    for _ in range(600):
        metrics = made.update()
    assert "q_mean" in metrics and "q_policy" not in metrics
    assert all(torch.equal(value, before[name]) for name, value in made.policy.state_dict().items())
    starts = torch.tensor([[-0.4, 1.0], [0.9, 1.0]])
    with torch.no_grad():
        left, right = made.critic(starts, policy.mean(starts)).mean(0).tolist()
    assert left == pytest.approx(0.9**4, abs=0.1)
    assert right == pytest.approx(0.0, abs=0.1)


def test_the_target_follows_at_its_rate() -> None:
    made = filled(replace(TINY, target_rate=0.1, critic_updates=1))
    before = [p.clone() for p in made.target.parameters()]
    made.update()
    for old, slow, fast in zip(before, made.target.parameters(), made.critic.parameters(), strict=True):
        assert not slow.requires_grad
        torch.testing.assert_close(slow, 0.9 * old + 0.1 * fast.detach())


def test_the_critic_loss_is_that_of_the_clipped_targets() -> None:
    """Recomputed from the definition, with one member, so that the drawn subset is known."""
    config = replace(TINY, members=1, subset=1, critic_updates=1, value_range=(0.0, 0.4), warmup_updates=100)
    made, twin = filled(config), filled(config)
    batch = twin.replay.sample(64)
    state = torch.get_rng_state()
    loss = made.update()["critic_loss"]
    torch.set_rng_state(state)
    with torch.no_grad():
        action, _ = twin.policy.sample(batch.next_observation)
        target = batch.reward + batch.discount * twin.target(batch.next_observation, action)[0]
        assert (target > 0.4).any() and (target < 0).any(), "the clip must matter"
        wanted = (twin.critic(batch.observation, batch.action)[0] - target.clamp(0.0, 0.4)).square().mean()
    torch.testing.assert_close(loss, wanted)


WEIGHTED = replace(TINY, members=5, extraction="weighted", beta=0.03, climb=0.3)
LEARNED = replace(ENTROPY, warmup_updates=0, learning_rate=1e-3, value_range=None)


@pytest.mark.parametrize("regularised", [False, True])
@pytest.mark.parametrize(
    "config",
    [TINY, WEIGHTED, replace(WEIGHTED, error="absolute"), LEARNED, replace(TINY, targets="independent")],
    ids=["minimum", "weighted", "weighted, absolute", "learned noise, mean", "independent targets"],
)
def test_updates_are_those_of_a_plain_implementation(config: ActorCriticConfig, regularised: bool) -> None:
    made, twin = (filled(config, regularised=regularised, learn=config.learn_temperature) for _ in range(2))
    plain = PlainActorCritic(twin)
    state = torch.get_rng_state()
    for _ in range(10):
        made.update()
    assert plain.distance(made) > 1e-2
    torch.set_rng_state(state)
    for _ in range(10):
        plain.update()
    assert plain.distance(made) < 1e-4


def test_a_learned_temperature_falls_while_there_is_entropy_to_spare() -> None:
    config = replace(TINY, temperature=0.1, learn_temperature=True, target_entropy=-5.0)
    made = filled(config, learn=True)
    temperatures = [float(made.update()["temperature"]) for _ in range(5)]
    assert temperatures == sorted(temperatures, reverse=True) and temperatures[-1] < 0.1
    greedy = filled(replace(config, target_entropy=5.0), learn=True)
    assert float(greedy.update()["temperature"]) > 0.1


@pytest.mark.parametrize("regularised", [False, True])
@pytest.mark.parametrize("config", [TINY, replace(ENTROPY, warmup_updates=7)], ids=["plain", "entropy"])
def test_a_loaded_state_makes_bit_identical_updates(config: ActorCriticConfig, regularised: bool) -> None:
    learn = config.learn_temperature
    made = filled(config, regularised=regularised, learn=learn)
    for _ in range(5):
        made.update()
    state = copy.deepcopy(made.state_dict())
    sampler, generator = made.replay.generator_state(), torch.get_rng_state()
    expected = [made.update() for _ in range(4)]

    fresh = filled(config, regularised=regularised, learn=learn)
    fresh.load_state_dict(state)
    fresh.replay.set_generator_state(sampler)
    torch.set_rng_state(generator)
    again = [fresh.update() for _ in range(4)]
    assert fresh.updates == made.updates
    for one, two in zip(expected, again, strict=True):
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert all(torch.equal(a, b) for a, b in zip(parameters(made), parameters(fresh), strict=True))
    untouched = filled(config, regularised=regularised, learn=learn)
    assert not all(torch.equal(a, b) for a, b in zip(parameters(made), parameters(untouched), strict=True))


def test_a_state_that_does_not_fit_is_refused() -> None:
    state = filled().state_dict()
    with pytest.raises(RuntimeError):
        filled(replace(TINY, members=4)).load_state_dict(state)
    with pytest.raises(KeyError):
        filled().load_state_dict({"policy": state["policy"]})


def test_a_temperature_of_zero_cannot_be_learned() -> None:
    with pytest.raises(DexloopError, match=r"--algorithm.learner.temperature"):
        replace(TINY, learn_temperature=True)


def test_a_device_that_cannot_be_used_is_named() -> None:
    for device in ("abacus", "cuda:63"):
        with pytest.raises(DexloopError, match=f"^--algorithm.learner.device {device}: .+"):
            learner(replace(TINY, device=device))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("config", [WEIGHTED, LEARNED], ids=["weighted", "learned noise, mean"])
def test_a_gpu_makes_the_same_updates(config: ActorCriticConfig) -> None:
    made, twin = (filled(config, regularised=True, learn=config.learn_temperature) for _ in range(2))
    moved = filled(replace(config, device="cuda"), regularised=True, learn=config.learn_temperature)
    moved.load_state_dict(twin.state_dict())
    state = torch.get_rng_state()
    for each in (made, moved):
        torch.set_rng_state(state)
        for _ in range(10):
            metrics = each.update()
    assert metrics["q_policy"].is_cuda and moved.policy.mean_layer.weight.is_cuda
    twin.load_state_dict(moved.state_dict())
    for mine, theirs in zip(parameters(made), parameters(twin), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("config", [WEIGHTED, LEARNED], ids=["weighted", "learned noise, mean"])
def test_half_the_precision_makes_nearly_the_same_updates(config: ActorCriticConfig) -> None:
    """Adam's step is as long as the rate says, whatever a gradient's size: what can differ is its way."""
    start, exact, rounded = (
        filled(replace(config, precision=precision), regularised=True, learn=config.learn_temperature)
        for precision in ("float32", "float32", "bfloat16")
    )
    state = torch.get_rng_state()
    losses: list[dict[str, float]] = []
    for each in (exact, rounded):
        torch.set_rng_state(state)
        for _ in range(10):
            metrics = each.update()
        losses.append({name: float(value) for name, value in metrics.items()})
    assert losses[1] == pytest.approx(losses[0], rel=0.1, abs=0.02)
    ways = [
        torch.cat([(p - q).flatten() for p, q in zip(parameters(each), parameters(start), strict=True)])
        for each in (exact, rounded)
    ]
    assert all(p.dtype == torch.float32 for p in parameters(rounded))
    assert 0.9 < torch.cosine_similarity(*ways, dim=0) < 0.99999


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's own making
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("config", [WEIGHTED, LEARNED], ids=["weighted", "learned noise, mean"])
def test_compiled_updates_are_the_same(config: ActorCriticConfig) -> None:
    made = filled(config, regularised=True, learn=config.learn_temperature)
    compiled = filled(replace(config, compiled=True), regularised=True, learn=config.learn_temperature)
    assert compiled.compiled and not made.compiled
    assert compiled.critic.weights[0].requires_grad and compiled.critic.weights[0].grad is None
    state = torch.get_rng_state()
    # What was compiled for blank batches serves real ones: to compile again takes as long once more.
    with torch._dynamo.config.patch(error_on_recompile=True):
        for each in (made, compiled):
            torch.set_rng_state(state)
            for _ in range(10):
                each.update()
    for mine, theirs in zip(parameters(made), parameters(compiled), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)
    fresh, sampler = copy.deepcopy(made.state_dict()), made.replay.generator_state()
    runs: list[list[torch.Tensor]] = []
    for _ in range(2):
        compiled.load_state_dict(copy.deepcopy(fresh))
        compiled.replay.set_generator_state(sampler)
        torch.set_rng_state(state)
        for _ in range(5):
            compiled.update()
        runs.append(parameters(compiled))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True)), "the same mode must give the same numbers"


_WITHOUT_COMPILER = """
from dataclasses import replace
import torch
from tests.algorithms.test_sac import TINY, filled, parameters
made, compiled = filled(), filled(replace(TINY, compiled=True))
assert not compiled.compiled
for each in (made, compiled):
    torch.manual_seed(0)
    each.update()
assert all(torch.equal(a, b) for a, b in zip(parameters(made), parameters(compiled), strict=True))
"""


@pytest.mark.slow
def test_without_a_compiler_one_line_says_so_and_training_goes_on(tmp_path: Path) -> None:
    environment = os.environ | {"CXX": "/nowhere/g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", _WITHOUT_COMPILER]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    (said,) = done.stderr.strip().splitlines()
    assert said.startswith("warning: --algorithm.learner.compiled: cannot compile here")


@pytest.mark.parametrize(("imitates", "wanted"), [("successes", 0.6), ("all", 0.1)])
def test_what_failed_is_imitated_only_if_all_is(imitates: str, wanted: float) -> None:
    """Half of the replay's actions are 0.6 and led to success, half are -0.4 and did not; the critics are not asked."""
    config = replace(WEIGHTED, climb=0.0, beta=1e6, input_noise=0.0, imitates=imitates)
    made = learner(config)
    for index in range(4):
        for name, action, reward in (("good", 0.6, 1.0), ("bad", -0.4, 0.0)):
            rewards = torch.zeros(20)
            rewards[-1] = reward
            made.replay.add(
                f"{name}{index}",
                torch.zeros(21, 1, 2),
                torch.full((20, 1), action),
                rewards,
                terminated=True,
                demonstration=False,
                online=True,
            )
    for _ in range(300):
        made.update()
    assert made.policy.mean(torch.zeros(1, 2)).item() == pytest.approx(wanted, abs=0.1)
