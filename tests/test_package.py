"""The package as a whole: what may be imported where, and what the distribution says of itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import metadata, packages_distributions, version
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "dexloop"

# What the `train` extra adds; the robot's computer has none of it.
EXTRA = ("torch", "safetensors", "matplotlib", "jinja2")
WITHOUT_EXTRAS = ("sim", "robot", "operators", "gates")
LONE_MODULES = ("types", "core", "episode", "errors", "seeds", "doctor", "rewards.environment")


def modules_of(package: str) -> list[str]:
    """The dotted names of a package's modules, itself included."""
    paths = sorted((SOURCE / package).rglob("*.py"))
    parts = [path.relative_to(SOURCE.parent).with_suffix("").parts for path in paths]
    return [".".join(name[:-1] if name[-1] == "__init__" else name) for name in parts]


def import_without_extras(modules: list[str]) -> subprocess.CompletedProcess[str]:
    """Import modules in a fresh interpreter in which importing an extra's package fails."""
    code = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({EXTRA!r}))\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        f"print([name for name in {EXTRA!r} if sys.modules[name] is not None])\n"
    )
    return subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, timeout=120)


def test_the_robots_side_needs_no_extra() -> None:
    modules = [name for package in WITHOUT_EXTRAS for name in modules_of(package)]
    modules += [f"dexloop.{name}" for name in LONE_MODULES]
    assert "dexloop.robot.gym" in modules and "dexloop.sim" in modules
    done = import_without_extras(modules)
    assert done.returncode == 0 and done.stdout.strip() == "[]", done.stderr


def test_datasets_need_no_extra() -> None:
    modules = [name for name in modules_of("data") if name != "dexloop.data.replay"]
    assert len(modules) > 1
    done = import_without_extras(modules)
    assert done.returncode == 0, done.stderr


def test_the_block_on_extras_works() -> None:
    """Against a module that needs PyTorch, so that the tests above can fail."""
    done = import_without_extras(["dexloop.data.replay"])
    assert done.returncode != 0 and "torch" in done.stderr


def test_the_package_is_typed_and_knows_its_version() -> None:
    assert files("dexloop").joinpath("py.typed").is_file()
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", version("dexloop"))
    assert metadata("dexloop")["License-Expression"] == "Apache-2.0"


def test_the_citation_has_the_distributions_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {version('dexloop')}\n" in citation


def requirements(extra: str | None) -> set[str]:
    """The distributions that the package asks for, without an extra or for one of them."""
    found: set[str] = set()
    for line in metadata("dexloop").get_all("Requires-Dist") or []:
        name = re.match(r"[\w.-]+", line)
        marker = re.search(r"extra == ['\"](\w+)['\"]", line)
        if name and (marker.group(1) if marker else None) == extra:
            found.add(_normal(name.group()))
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_import_is_a_requirement() -> None:
    """What happens to be installed beside the package hides a requirement that was forgotten."""
    extras = [None, *(extra for extra in metadata("dexloop").get_all("Provides-Extra") or [] if extra != "dev")]
    declared = {name for extra in extras for name in requirements(extra)}
    providers = packages_distributions()
    imported = {name for path in SOURCE.rglob("*.py") for name in _foreign_imports(path)}
    assert {"numpy", "torch"} <= imported
    unmet = {name for name in imported if not {_normal(one) for one in providers.get(name, ())} & declared}
    assert unmet == set()


def _foreign_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"dexloop"}


@pytest.mark.parametrize("extra", [None, "train", "dev", "pretrained", "robot", "hardware", "cameras"])
def test_every_requirement_is_pinned(extra: str | None) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_normal(line.split("==")[0]) for line in lines if "==" in line}
    assert requirements(extra) and requirements(extra) <= pinned


def test_pins_fit_every_build_of_a_package() -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1] not in ("", "#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+(; python_version (<|>=) \"3\.11\")?", pin) for pin in pins), pins


def test_no_file_outgrows_one_concept() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
