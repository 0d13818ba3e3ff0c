"""What is kept of episodes comes back exactly, or not at all; it never stops anybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dexloop.data.features import KeptFeatures, forget_others
from tests.data.samples import SMALL_ROBOT, make_episode

FEATURES = np.random.default_rng(0).normal(size=(9, 2, 5)).astype(np.float32)


def test_what_was_kept_comes_back_exactly(tmp_path: Path) -> None:
    kept = KeptFeatures(tmp_path / "features", "abc")
    episode = make_episode(SMALL_ROBOT, 1)
    assert kept.read("demos/3", episode) is None
    kept.write("demos/3", episode, FEATURES)
    found = KeptFeatures(tmp_path / "features", "abc").read("demos/3", episode)
    assert found is not None and found.dtype == np.float32
    np.testing.assert_array_equal(found, FEATURES)
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()] == [
        "features/abc/demos/3.npz"
    ]


def test_another_recipe_key_or_episode_has_nothing(tmp_path: Path) -> None:
    kept = KeptFeatures(tmp_path, "abc")
    episode = make_episode(SMALL_ROBOT, 1)
    kept.write("demos/3", episode, FEATURES)
    assert KeptFeatures(tmp_path, "abd").read("demos/3", episode) is None
    assert kept.read("rollouts/3", episode) is None
    assert kept.read("demos/3", make_episode(SMALL_ROBOT, 2)) is None
    assert kept.read("demos/3", replace(episode, transitions=episode.transitions[:-1])) is None, "cut elsewhere"


def test_a_verdict_that_came_later_changes_nothing(tmp_path: Path) -> None:
    kept = KeptFeatures(tmp_path, "abc")
    episode = make_episode(SMALL_ROBOT, 1, success=False)
    kept.write("episodes/0", episode, FEATURES)
    last = replace(episode.transitions[-1], reward=1.0, success=True, terminated=True, truncated=False)
    amended = replace(episode, success=True, transitions=(*episode.transitions[:-1], last))
    assert kept.read("episodes/0", amended) is not None


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:30],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: b"\xff\x00" * 500,
        lambda whole: whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
        lambda whole: whole.replace(b"kept", b"kepd"),
    ],
    ids=["empty", "header", "half", "byte", "noise", "bit", "name"],
)
def test_a_damaged_file_reads_as_nothing_and_can_be_written_again(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    kept = KeptFeatures(tmp_path, "abc")
    episode = make_episode(SMALL_ROBOT, 1)
    kept.write("demos/0", episode, FEATURES)
    file = tmp_path / "abc" / "demos" / "0.npz"
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert file.read_bytes() != whole, "the damage did nothing"
    assert kept.read("demos/0", episode) is None
    kept.write("demos/0", episode, FEATURES)
    found = kept.read("demos/0", episode)
    assert found is not None
    np.testing.assert_array_equal(found, FEATURES)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    kept = KeptFeatures(tmp_path, "abc")
    episode = make_episode(SMALL_ROBOT, 1)
    kept.write("demos/0", episode, np.array([{"a": 1}], dtype=object))
    assert (tmp_path / "abc" / "demos" / "0.npz").is_file()
    assert kept.read("demos/0", episode) is None


def test_a_place_that_cannot_be_written_to_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "abc").write_text("a file where the folder would be")
    kept = KeptFeatures(tmp_path, "abc")
    episode = make_episode(SMALL_ROBOT, 1)
    kept.write("demos/0", episode, FEATURES)
    assert kept.read("demos/0", episode) is None


def test_what_other_recipes_kept_is_removed(tmp_path: Path) -> None:
    episode = make_episode(SMALL_ROBOT, 1)
    for recipe in ("old", "new", "verdicts"):
        KeptFeatures(tmp_path, recipe).write("demos/0", episode, FEATURES)
    forget_others(tmp_path, {"new", "verdicts"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "verdicts"]
    forget_others(tmp_path / "nowhere", set())
