"""Checkpoints are whole or not there; what is damaged is named and passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dexloop.errors import DexloopError
from dexloop.runtime import checkpoint
from dexloop.runtime.checkpoint import load_checkpoint, save_checkpoint


def state(value: float = 0.0) -> dict[str, Any]:
    shared = torch.full((2, 3), value)
    return {
        "policy": {"weight": shared, "twin": shared, "flags": torch.tensor([True, False])},
        "optimizer": {
            "state": {0: {"step": torch.tensor(4.0)}, 1: {}},
            "groups": [{"lr": 1e-3, "betas": [0.9, 0.999]}],
        },
        "updates": 7,
        "nothing": None,
        "view": torch.arange(12.0).view(3, 4).T,
    }


def assert_equal(one: Any, two: Any) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two) and one.dtype == two.dtype
    elif isinstance(one, dict):
        assert list(one) == list(two)
        for key in one:
            assert_equal(one[key], two[key])
    elif isinstance(one, list):
        assert len(one) == len(two)
        for mine, theirs in zip(one, two, strict=True):
            assert_equal(mine, theirs)
    else:
        assert one == two and type(one) is type(two)


def test_nested_state_comes_back_exactly(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 7, state(0.1))
    loaded, troubles = load_checkpoint(tmp_path)
    assert troubles == []
    assert_equal(loaded, state(0.1))


def test_an_optimizer_goes_on_exactly(tmp_path: Path) -> None:
    """Its state has integer keys and numbers beside tensors."""

    def made() -> tuple[torch.nn.Linear, torch.optim.Adam]:
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        return layer, torch.optim.Adam(layer.parameters(), fused=True)

    def steps(layer: torch.nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()

    layer, optimizer = made()
    steps(layer, optimizer)
    save_checkpoint(tmp_path, 1, {"layer": layer.state_dict(), "optimizer": optimizer.state_dict()})
    steps(layer, optimizer)
    again, resumed = made()
    loaded, _ = load_checkpoint(tmp_path)
    assert loaded is not None
    again.load_state_dict(loaded["layer"])
    resumed.load_state_dict(loaded["optimizer"])
    steps(again, resumed)
    assert torch.equal(again.weight, layer.weight)


def test_the_newest_three_are_kept_and_last_names_the_newest(tmp_path: Path) -> None:
    for step in (5, 100, 20_000, 300, 1_000_000):
        save_checkpoint(tmp_path, step, state(step))
        assert (tmp_path / "last").read_text().strip() == f"{step:09d}"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000300", "000020000", "001000000", "last"]
    loaded, _ = load_checkpoint(tmp_path)
    assert loaded is not None and loaded["policy"]["weight"][0, 0] == 1_000_000


def test_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 3, state(1.0))
    save_checkpoint(tmp_path, 3, state(2.0))
    loaded, troubles = load_checkpoint(tmp_path)
    assert loaded is not None and loaded["policy"]["weight"][0, 0] == 2.0 and troubles == []


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["gone", "empty", "half", "noise"])
def test_a_damaged_newest_gives_way_to_the_one_before(tmp_path: Path, name: str, damage: str) -> None:
    save_checkpoint(tmp_path, 1, state(1.0))
    newest = save_checkpoint(tmp_path, 2, state(2.0))
    file = newest / name
    whole = file.read_bytes()
    file.write_bytes({"half": whole[: len(whole) // 2], "noise": b"\xff\x00" * 50}.get(damage, b""))
    if damage == "gone":
        file.unlink()
    loaded, troubles = load_checkpoint(tmp_path)
    assert loaded is not None and loaded["policy"]["weight"][0, 0] == 1.0
    assert len(troubles) == 1 and str(newest) in troubles[0] and "\n" not in troubles[0]


def test_without_any_there_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "checkpoints") == (None, [])
    (save_checkpoint(tmp_path, 1, state()) / "state.json").unlink()
    loaded, troubles = load_checkpoint(tmp_path)
    assert loaded is None and len(troubles) == 1


def test_what_an_interrupted_write_left_is_removed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, state(1.0))
    leftover = tmp_path / ".writing-x1"
    leftover.mkdir()
    (leftover / "tensors.safetensors").write_bytes(b"half")
    loaded, troubles = load_checkpoint(tmp_path)
    assert loaded is not None and troubles == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000001", "last"]


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_failing_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    save_checkpoint(tmp_path, 1, state(1.0))
    writes: list[Path] = []
    whole = checkpoint.write_file

    def failing(path: Path, content: bytes) -> None:
        writes.append(path)
        if len(writes) == fails_at:
            raise DexloopError(f"{path}: the disk is full")
        whole(path, content)

    monkeypatch.setattr(checkpoint, "write_file", failing)
    with pytest.raises(DexloopError, match="disk is full"):
        save_checkpoint(tmp_path, 2, state(2.0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000001", "last"]
    loaded, troubles = load_checkpoint(tmp_path)
    assert loaded is not None and loaded["policy"]["weight"][0, 0] == 1.0 and troubles == []
