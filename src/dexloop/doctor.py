"""Is this machine ready? Every check returns a Finding and raises nothing; what may crash runs in another process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dexloop.errors import DexloopError
from dexloop.progress import say
from dexloop.sim import opengl

_OLDEST_PYTHON = (3, 10)
_RUN_BYTES = 2 * 1024**3  # a run's episodes, checkpoints and videos, with room to spare

# The simulation's own renderer, so that the platform it would choose is the one that is tried.
_RENDER = """
import sys
from dexloop.errors import DexloopError
try:
    from dexloop.sim.engine import mujoco
    from dexloop.sim.rendering import Renderer
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><light pos="0 0 2"/><geom type="sphere" size=".2"/>'
        '<camera name="eye" pos="0 0 1"/></worldbody></mujoco>'
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = Renderer(model)
    image = renderer.pictures(data, ("eye",), 48, 64)["eye"]
    renderer.close()
except DexloopError as error:
    sys.exit(f"{type(error.__cause__).__name__}: {error.__cause__}")
if not image.std() > 0:
    raise RuntimeError("the rendered image is blank")
print("MuJoCo", mujoco.__version__)
"""
_TORCH = """
import torch
device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
print(f"PyTorch {torch.__version__} on {device}, {torch.get_num_threads()} threads")
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was found, and what to do about it where it is not ok."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(directory: Path) -> tuple[Finding, ...]:
    """Every check; ``directory`` is where runs will be written."""
    return (check_python(), check_rendering(), check_torch(), check_disk(directory))


def check_python(version: tuple[int, int] | None = None) -> Finding:
    """Whether the Python ``version`` (this one's by default) is one that dexloop supports."""
    found = version or (sys.version_info.major, sys.version_info.minor)
    oldest = ".".join(map(str, _OLDEST_PYTHON))
    ok = found >= _OLDEST_PYTHON
    detail = f"Python {found[0]}.{found[1]} at {sys.executable}"
    return Finding("python", ok, detail, "" if ok else f"install Python {oldest} or later")


def check_rendering(platform: str | None = None, timeout: float = 120.0) -> Finding:
    """Whether the simulation's cameras can be rendered.

    platform: a value for MUJOCO_GL (egl, osmesa, glfw, cgl); without it what MUJOCO_GL says, else the
    simulation's own choice. timeout: seconds after which it counts as failed (a first frame in
    software takes about one).
    """
    chosen = platform or os.environ.get("MUJOCO_GL", "")
    environment = {key: value for key, value in os.environ.items() if key != "PYOPENGL_PLATFORM"}
    if chosen:
        environment["MUJOCO_GL"] = chosen
    ok, said = _python(_RENDER, environment, timeout)
    if ok:
        by = f"MUJOCO_GL={chosen}" if chosen else "the default platform"
        return Finding("rendering", True, f"{said} renders with {by}")
    found = opengl.diagnose(said, environment)
    return Finding("rendering", False, found.reason, found.remedy)


def check_torch(timeout: float = 120.0) -> Finding:
    """Whether PyTorch is there, on which device it would run and with how many threads."""
    ok, said = _python(_TORCH, dict(os.environ), timeout)
    return Finding("torch", ok, said, "" if ok else "pip install 'dexloop[train]'; a robot controller needs none")


def check_disk(directory: Path, needed: int = _RUN_BYTES) -> Finding:
    """Whether ``needed`` bytes are free where ``directory`` is, or will be made."""
    existing = directory.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    ok = free >= needed
    detail = f"{_gib(free)} free at {existing}"
    return Finding("disk", ok, detail, "" if ok else f"free {_gib(needed)}, or choose another directory with --out")


def tell(findings: Sequence[Finding]) -> None:
    """Print each, with its remedy; raises DexloopError when one must be mended."""
    for finding in findings:
        mark = "ok  " if finding.ok else "MEND"
        say(f"{mark} {finding.name}: {finding.detail}" + ("" if finding.ok else f" -> {finding.remedy}"))
    if not all(finding.ok for finding in findings):
        raise DexloopError("something above needs mending before a first run")


def _python(code: str, environment: dict[str, str], timeout: float) -> tuple[bool, str]:
    """Whether ``code`` succeeds in a fresh interpreter, with its output or its last line of error."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {timeout:g} s"
    if done.returncode == 0:
        return True, done.stdout.strip()
    if done.returncode < 0:
        return False, f"killed by signal {-done.returncode}"
    return False, _reason(done.stderr)


def _reason(stderr: str) -> str:
    """The last line of a traceback that names an error; destructors may have complained after it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    named = [line for line in lines if line.split(":")[0].endswith("Error")]
    return (named or lines or ["no message"])[-1]


def _gib(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB"
