from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from dexloop.errors import DexloopError
from dexloop.rewards.labels import Label, Labels


def test_labels_come_back_from_the_file_in_its_stable_form(tmp_path: Path) -> None:
    path = tmp_path / "reward" / "labels.json"
    labels = Labels(path)
    labels.set("demos/0", Label(41))
    labels.set("rollouts/3", Label(None))
    labels.set("rollouts/4", Label(None, skip=True))
    assert json.loads(path.read_text()) == {
        "version": 1,
        "episodes": {
            "demos/0": {"success_from": 41},
            "rollouts/3": {"success_from": None},
            "rollouts/4": {"skip": True},
        },
    }
    assert Labels(path).episodes == labels.episodes
    assert Labels(path).get("rollouts/3") == Label(None)
    assert Labels(path).get("rollouts/9") is None
    labels.set("demos/0", None)
    assert "demos/0" not in Labels(path).episodes
    assert [file.name for file in path.parent.iterdir()] == ["labels.json"]


def test_two_who_label_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    here, there = Labels(path), Labels(path)
    here.set("demos/0", Label(1))
    there.set("demos/1", Label(2))
    here.set("demos/2", Label(3))
    assert set(Labels(path).episodes) == {"demos/0", "demos/1", "demos/2"}

    threads = [threading.Thread(target=here.set, args=(f"rollouts/{index}", Label(0))) for index in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Labels(path).episodes) == 23


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "episodes": {}}',
        '{"version": 1, "episodes": []}',
        '{"version": 1, "episodes": {"demos/0": {"success_from": -1}}}',
        '{"version": 1, "episodes": {"demos/0": {"success_from": true}}}',
        '{"version": 1, "episodes": {"demos/0": 4}}',
    ],
)
def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "labels.json"
    labels = Labels(path)
    path.write_text(content)
    with pytest.raises(DexloopError, match=r"labels\.json"):
        Labels(path)
    with pytest.raises(DexloopError, match=r"labels\.json"):
        labels.set("demos/0", Label(1))
    assert path.read_text() == content
