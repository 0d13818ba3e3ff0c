"""What is published works: the wheel, made from the source archive and installed on its own, runs the whole way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=840
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts directory of an environment with the wheel, and this environment's other packages."""
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", directory / "dist", ROOT, cwd=directory)
    (wheel,) = (directory / "dist").glob("dexloop-*.whl")
    venv.create(directory / "env", with_pip=True)
    scripts = directory / "env" / "bin"
    run(scripts / "python", "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=directory)
    # Path lines in a .pth add packages but not their .pth files, so that an editable dexloop stays out of sight.
    (site,) = (directory / "env" / "lib").glob("python*/site-packages")
    others = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (site / "others.pth").write_text("\n".join(others), encoding="utf-8")
    return scripts


def test_the_installed_copy_is_the_one_that_runs(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import dexloop; print(dexloop.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert "run" in run(installed / "dexloop", "--help", cwd=tmp_path)


@pytest.mark.gl
def test_the_whole_way_from_the_installed_copy(installed: Path, tmp_path: Path) -> None:
    out = tmp_path / "cup"
    run(installed / "dexloop", "run", "cup", "--preset", "smoke", "--out", out, cwd=tmp_path)
    evaluation = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert {"demonstrations", "bc", "iborl"} <= {entry["policy"] for entry in evaluation}
    assert all(0 <= entry["successes"] <= entry["trials"] for entry in evaluation)
    assert "<html" in (out / "report.html").read_text(encoding="utf-8").lower()
