"""The replay: n-step targets from indices, two halves, eviction that spares demonstrations."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dexloop.data.replay import Batch, Replay, ReplayConfig
from dexloop.errors import DexloopError


def latents(episode: int, length: int, crops: int = 1) -> Tensor:
    """(length + 1, crops, 3): each row says which episode, step and crop it is."""
    rows = [[[float(episode), float(step), float(crop)] for crop in range(crops)] for step in range(length + 1)]
    return torch.tensor(rows)


def rewards(episode: int, length: int) -> Tensor:
    """A reward that no other step has."""
    return torch.arange(length) + 1.0 + 100.0 * episode


def add(
    replay: Replay,
    episode: int,
    length: int,
    *,
    terminated: bool = True,
    demonstration: bool = False,
    online: bool = True,
) -> None:
    crops = replay._latents.shape[1]
    actions = torch.full((length, 1), float(episode)) + torch.arange(length)[:, None] / 1000
    replay.add(
        str(episode),
        latents(episode, length, crops),
        actions,
        rewards(episode, length),
        terminated=terminated,
        demonstration=demonstration,
        online=online,
    )


def row_of(batch: Batch, episode: int, step: int) -> int:
    found = (batch.observation[:, 0] == episode) & (batch.observation[:, 1] == step)
    assert found.any(), f"step {step} of episode {episode} was never drawn"
    return int(torch.nonzero(found)[0])


def drawn(replay: Replay, count: int = 500) -> Batch:
    return replay.sample(count, 0.0)


@pytest.mark.parametrize(
    ("terminated", "deadline_is_terminal", "bootstraps"),
    [(True, False, False), (True, True, False), (False, False, True), (False, True, False)],
)
def test_n_step_targets_by_hand(terminated: bool, deadline_is_terminal: bool, bootstraps: bool) -> None:
    """Rewards 1, 2, 3, 4 and discount 1/2; the return ends at success, and at a deadline if that is terminal."""
    config = ReplayConfig(capacity=20, discount=0.5, n_step=3, deadline_is_terminal=deadline_is_terminal)
    replay = Replay(3, 1, config)
    add(replay, 0, 4, terminated=terminated)
    add(replay, 7, 4, terminated=True)
    batch = drawn(replay)

    first = row_of(batch, 0, 0)
    assert batch.reward[first] == 1 + 2 * 0.5 + 3 * 0.25
    assert batch.next_observation[first].tolist() == [0, 3, 0]
    assert batch.discount[first] == 0.125
    assert batch.outcome[first] == 1 + 2 * 0.5 + 3 * 0.25 + 4 * 0.125

    second = row_of(batch, 0, 1)
    assert batch.reward[second] == 2 + 3 * 0.5 + 4 * 0.25
    assert batch.next_observation[second].tolist() == [0, 4, 0]
    assert batch.discount[second] == (0.125 if bootstraps else 0.0)

    last = row_of(batch, 0, 3)
    assert batch.reward[last] == 4
    assert batch.next_observation[last].tolist() == [0, 4, 0], "the terminal observation, not the next episode's first"
    assert batch.discount[last] == (0.5 if bootstraps else 0.0)


def test_one_step_targets_are_the_steps_themselves() -> None:
    replay = Replay(3, 1, ReplayConfig(capacity=10, n_step=1, discount=0.9, deadline_is_terminal=False))
    add(replay, 0, 3, terminated=False)
    batch = drawn(replay)
    for step in range(3):
        row = row_of(batch, 0, step)
        assert batch.reward[row] == step + 1
        assert batch.next_observation[row, 1] == step + 1
        assert batch.discount[row] == pytest.approx(0.9)
        assert batch.action[row, 0] == pytest.approx(step / 1000)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=25),
    ends=st.lists(st.booleans(), min_size=25, max_size=25),
    n_step=st.integers(1, 6),
    deadline_is_terminal=st.booleans(),
    protected=st.integers(0, 3),
)
def test_no_target_ever_reads_into_another_episode(
    lengths: list[int], ends: list[bool], n_step: int, deadline_is_terminal: bool, protected: int
) -> None:
    """Whatever was added and evicted, every sample equals the definition applied to its own episode."""
    discount = 0.75
    config = ReplayConfig(capacity=60, discount=discount, n_step=n_step, deadline_is_terminal=deadline_is_terminal)
    replay = Replay(3, 1, config)
    for episode, (length, terminated) in enumerate(zip(lengths, ends, strict=False)):
        demonstration = episode < protected
        add(replay, episode, length, terminated=terminated, demonstration=demonstration, online=not demonstration)
    newest = len(lengths) - 1
    assert str(newest) in replay and all(str(e) in replay for e in range(min(protected, len(lengths))))
    batch = replay.sample(200)
    for row in range(200):
        episode, step = int(batch.observation[row, 0]), int(batch.observation[row, 1])
        assert str(episode) in replay, "an evicted episode was sampled"
        length, terminated = lengths[episode], ends[episode]
        counted = min(n_step, length - step)
        own = rewards(episode, length)
        expected = sum(discount**k * float(own[step + k]) for k in range(counted))
        over = step + counted == length and (terminated or deadline_is_terminal)
        assert batch.reward[row].item() == pytest.approx(expected)
        assert batch.next_observation[row, :2].tolist() == [episode, step + counted]
        assert batch.discount[row].item() == pytest.approx(0.0 if over else discount**counted)
        outcome = sum(discount**k * float(r) for k, r in enumerate(own[step:]))
        assert batch.outcome[row].item() == pytest.approx(outcome, rel=1e-5)


def test_eviction_takes_the_oldest_online_episodes_and_keeps_demonstrations() -> None:
    replay = Replay(3, 1, ReplayConfig(capacity=40))
    for episode in range(2):
        add(replay, episode, 4, demonstration=True, online=False)
    for episode in range(2, 20):
        add(replay, episode, 4, demonstration=episode % 2 == 0)
        kept = [e for e in range(2, episode + 1) if str(e) in replay]
        assert kept == list(range(episode + 1 - len(kept), episode + 1)), "not the newest ones"
        assert len(kept) == min(6, episode - 1)
        assert "0" in replay and "1" in replay
    assert replay.online_steps == 6 * 4
    assert replay.demonstration_steps == 2 * 4 + 3 * 4, "copied successes count while they are there"


@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 15), min_size=1, max_size=40),
    protected=st.sets(st.integers(0, 12), max_size=4),
)
def test_what_is_evicted_is_always_the_oldest(lengths: list[int], protected: set[int]) -> None:
    """Also where demonstrations stand in the way, or the end of the ring is too short for the next episode."""
    replay = Replay(3, 1, ReplayConfig(capacity=90))
    online: list[int] = []
    for episode, length in enumerate(lengths):
        demonstration = episode in protected
        add(replay, episode, length, demonstration=demonstration, online=not demonstration)
        if not demonstration:
            online.append(episode)
        kept = [e for e in online if str(e) in replay]
        assert kept == online[len(online) - len(kept) :], "an older one is still there"
        assert kept[-1:] == online[-1:] or demonstration
        assert all(str(e) in replay for e in protected if e <= episode)


def test_a_long_episode_evicts_the_short_old_one_that_it_skips() -> None:
    replay = Replay(3, 1, ReplayConfig(capacity=24))
    for episode, length in enumerate((9, 9, 3)):
        add(replay, episode, length)
    add(replay, 3, 9)
    assert [e for e in range(4) if str(e) in replay] == [1, 2, 3]
    add(replay, 4, 9)
    assert [e for e in range(5) if str(e) in replay] == [2, 3, 4]
    add(replay, 5, 8)
    assert [e for e in range(6) if str(e) in replay] == [4, 5], "not 2 at the end of the ring, where 5 has no room"


def test_a_replay_full_of_demonstrations_says_so() -> None:
    replay = Replay(3, 1, ReplayConfig(capacity=12))
    add(replay, 0, 5, demonstration=True, online=False)
    add(replay, 1, 4, demonstration=True, online=False)
    with pytest.raises(DexloopError, match="capacity"):
        add(replay, 2, 4)
    assert "2" not in replay and replay.online_steps == 0 and replay.demonstration_steps == 9


def test_a_failing_addition_evicts_nothing() -> None:
    replay = Replay(3, 1, ReplayConfig(capacity=20))
    add(replay, 0, 4)
    add(replay, 1, 9, demonstration=True, online=False)
    with pytest.raises(DexloopError, match="capacity"):
        add(replay, 2, 9)
    assert "0" in replay and replay.online_steps == 4


def test_an_amended_episode_has_the_new_rewards_end_and_half() -> None:
    config = ReplayConfig(capacity=30, n_step=1, discount=0.5, deadline_is_terminal=False)
    replay = Replay(3, 1, config)
    add(replay, 0, 3, terminated=False)
    add(replay, 1, 3)
    before = drawn(replay)
    assert before.discount[row_of(before, 0, 2)] == 0.5 and replay.demonstration_steps == 0
    replay.amend("0", torch.tensor([0.0, 0.0, 8.0]), terminated=True, demonstration=True)
    after = drawn(replay)
    first, last = row_of(after, 0, 0), row_of(after, 0, 2)
    assert after.reward[last] == 8 and after.discount[last] == 0 and after.outcome[first] == 2
    assert replay.online_steps == 6 and replay.demonstration_steps == 3
    assert (after.observation[first] == before.observation[row_of(before, 0, 0)]).all()
    replay.amend("0", torch.zeros(3), terminated=True, demonstration=False)
    again = drawn(replay)
    assert replay.demonstration_steps == 0 and again.outcome[again.observation[:, 0] == 0].max() == 0
    replay.amend("9", torch.zeros(3), terminated=True, demonstration=True)
    assert "9" not in replay and replay.online_steps == 6


# In a process of its own: one that has run other tests has freed memory left to fill first.
GROWTH = """
import json, sys
from pathlib import Path
import torch
from dexloop.data.replay import Replay, ReplayConfig

size, capacity, length, memory = (int(word) for word in sys.argv[2:])
given = torch.ones(length + 1, 1, size)


def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


before = held()
replay = Replay(size, 2, ReplayConfig(capacity=capacity, memory=memory), spill=Path(sys.argv[1]))
grown = [held() - before]
for episode in range(3 * capacity // (length + 1)):
    actions, rewards = torch.zeros(length, 2), torch.zeros(length)
    replay.add(str(episode), given, actions, rewards, terminated=True, demonstration=False, online=True)
    if episode == capacity // (length + 1):
        grown.append(held() - before)
replay.sample(256)
print(json.dumps([*grown, held() - before]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux says what a process holds")
def test_memory_stays_bounded(tmp_path: Path) -> None:
    """Three times what fits: a mapped replay holds next to nothing, one in memory its capacity and no more."""
    size, capacity, length = 1024, 10_000, 499
    latent_bytes = 4 * size * capacity

    def growth(memory: int) -> list[int]:
        """By how much memory has grown: when empty, when full once, and after two times more."""
        words = [str(word) for word in (tmp_path, size, capacity, length, memory)]
        ran = subprocess.run([sys.executable, "-c", GROWTH, *words], capture_output=True, text=True, check=True)
        return json.loads(ran.stdout)

    mapped = growth(latent_bytes // 2**20 - 1)
    assert max(mapped) < 0.2 * latent_bytes, mapped
    held = growth(latent_bytes // 2**20 + 1)
    assert held[0] < 0.2 * latent_bytes, "an empty one costs nothing"
    assert 0.8 * latent_bytes < held[1] < 1.3 * latent_bytes, held
    assert held[2] - held[1] < 0.1 * latent_bytes, held


def test_an_episode_longer_than_the_replay_is_refused() -> None:
    with pytest.raises(DexloopError, match="capacity"):
        add(Replay(3, 1, ReplayConfig(capacity=5)), 0, 5)


def test_adding_a_key_again_changes_nothing() -> None:
    replay = Replay(3, 1, ReplayConfig(capacity=30))
    add(replay, 0, 4)
    before = drawn(replay, 8)
    replay.add("0", latents(9, 6), torch.zeros(6, 1), torch.zeros(6), terminated=False, demonstration=True, online=True)
    assert replay.online_steps == 4 and replay.demonstration_steps == 0
    assert set(drawn(replay).observation[:, 0].tolist()) == {0.0} == set(before.observation[:, 0].tolist())


@pytest.mark.parametrize(("share", "demonstrations"), [(0.5, 50), (0.25, 25), (0.0, 0), (1.0, 100)])
def test_symmetric_sampling_draws_exactly_its_share_from_each_half(share: float, demonstrations: int) -> None:
    replay = Replay(3, 1, ReplayConfig(capacity=200))
    add(replay, 0, 3, demonstration=True, online=False)
    for episode in range(1, 20):
        add(replay, episode, 8)
    batch = replay.sample(100, share)
    assert len(batch.observation) == 100
    from_demonstrations = batch.observation[:, 0] == 0
    assert int(from_demonstrations.sum()) == demonstrations
    assert not from_demonstrations[: 100 - demonstrations].any(), "the online half comes first"


def test_a_copied_success_is_in_both_halves() -> None:
    replay = Replay(3, 1, ReplayConfig(capacity=100))
    add(replay, 0, 3, demonstration=True, online=False)
    add(replay, 1, 3, demonstration=True, online=True)
    add(replay, 2, 3, demonstration=False, online=True)
    assert set(replay.sample(200, 0.0).observation[:, 0].tolist()) == {1.0, 2.0}
    assert set(replay.sample(200, 1.0).observation[:, 0].tolist()) == {0.0, 1.0}


def test_an_empty_half_leaves_the_batch_to_the_other() -> None:
    only_demonstrations, only_online = (Replay(3, 1, ReplayConfig(capacity=20)) for _ in range(2))
    add(only_demonstrations, 0, 4, demonstration=True, online=False)
    add(only_online, 1, 4)
    assert set(only_demonstrations.sample(10).observation[:, 0].tolist()) == {0.0}
    assert set(only_online.sample(10).observation[:, 0].tolist()) == {1.0}


def test_crops_are_drawn_at_random_for_both_observations() -> None:
    replay = Replay(3, 1, ReplayConfig(capacity=20, n_step=1), crops=3)
    add(replay, 4, 5)
    batch = drawn(replay, 300)
    assert set(batch.observation[:, 2].tolist()) == set(batch.next_observation[:, 2].tolist()) == {0.0, 1.0, 2.0}
    assert (batch.next_observation[:, 1] == batch.observation[:, 1] + 1).all()


def test_the_order_of_sampling_is_a_function_of_seed_and_state(tmp_path: Path) -> None:
    """Also with the latents in a file, which must hold the same numbers as the memory."""
    one = Replay(3, 1, ReplayConfig(capacity=40), seed=3)
    two = Replay(3, 1, ReplayConfig(capacity=40, memory=0), seed=3, spill=tmp_path)
    other = Replay(3, 1, ReplayConfig(capacity=40), seed=4)
    for replay in (one, two, other):
        for episode in range(4):
            add(replay, episode, 6)
    for mine, theirs in zip(drawn(one, 30), drawn(two, 30), strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(drawn(one, 30).observation, drawn(other, 30).observation)
    state = one.generator_state()
    wanted = drawn(one, 30)
    two.set_generator_state(state)
    for mine, theirs in zip(wanted, drawn(two, 30), strict=True):
        assert torch.equal(mine, theirs)
