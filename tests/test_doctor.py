from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dexloop.doctor import check_disk, check_python, check_rendering, check_torch, examine


def test_this_python_is_supported_and_an_old_one_is_not() -> None:
    assert check_python().ok
    old = check_python((3, 9))
    assert not old.ok and "3.9" in old.detail and "3.10" in old.remedy


@pytest.mark.gl
def test_a_frame_is_rendered() -> None:
    finding = check_rendering()
    assert finding.ok and "MuJoCo" in finding.detail and finding.remedy == ""


def test_a_platform_that_is_none_is_reported_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "crayons")
    finding = check_rendering()
    assert not finding.ok and "crayons" in finding.detail and finding.remedy


def test_a_render_that_hangs_is_given_up() -> None:
    finding = check_rendering(timeout=0.01)
    assert not finding.ok and "0.01 s" in finding.detail


def test_torch_is_found_with_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    finding = check_torch()
    assert finding.ok and "1 threads" in finding.detail and "torch" not in finding.remedy


def test_a_missing_torch_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = check_torch()
    assert not finding.ok and "No module named 'torch'" in finding.detail and "dexloop[train]" in finding.remedy


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_crash_is_survived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = check_torch()
    assert not finding.ok and "signal 11" in finding.detail


def test_disk_space_is_measured_where_the_directory_will_be(tmp_path: Path) -> None:
    runs = tmp_path / "not" / "yet"
    assert check_disk(runs, needed=1).ok and str(tmp_path) in check_disk(runs).detail
    full = check_disk(runs, needed=1 << 62)
    assert not full.ok and "--out" in full.remedy and not runs.exists()


@pytest.mark.gl
def test_an_examination_covers_everything(tmp_path: Path) -> None:
    assert [finding.name for finding in examine(tmp_path)] == ["python", "rendering", "torch", "disk"]
