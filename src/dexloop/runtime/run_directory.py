"""The run directory: where everything a run makes has its place (stable: other programs read it)."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dexloop.data.files import write_file
from dexloop.errors import DexloopError
from dexloop.runtime.metrics import MetricsFile

FORMAT = 1


class RunDirectory:
    """Paths of a run, and its small JSON files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.json"
        self.demos = root / "demos"
        self.rollouts = root / "rollouts"
        self.reward = root / "reward"
        self.classifier = root / "reward" / "classifier.safetensors"
        self.labels = root / "reward" / "labels.json"
        self.prior = root / "prior" / "policy.safetensors"
        self.act = root / "prior" / "act.safetensors"
        self.distilled = root / "prior" / "distilled.safetensors"
        self.episodes = root / "episodes"
        self.features = root / "features"
        self.checkpoints = root / "checkpoints"
        self.policy = root / "policy" / "policy.safetensors"
        self.metrics = MetricsFile(root / "metrics.jsonl")
        self.evaluation = root / "evaluation.json"
        self.videos = root / "videos"
        self.report = root / "report.html"

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.config.is_file()

    @property
    def start(self) -> Path:
        """The clone that online learning begins with: of demonstrations and rollouts where there is one."""
        return self.distilled if self.distilled.is_file() else self.prior

    def check_free(self) -> None:
        """Raise DexloopError if a run cannot begin here: there is one, or a file is in the way."""
        if self.exists:
            raise DexloopError(f"{self.root} already holds a run; add --resume to continue it, or choose another --out")
        there = next(path for path in (self.root, *self.root.absolute().parents) if path.exists())
        if not there.is_dir():
            raise DexloopError(f"--out {self.root}: {there} is a file; choose a directory")

    def create(self, config: dict[str, Any]) -> None:
        """Begin a run; raises DexloopError if the place is taken."""
        self.check_free()
        write_file(self.config, _pretty({"format": FORMAT, "config": config, **host_facts()}))

    def update_config(self, config: dict[str, Any]) -> None:
        """Change the configuration of a run, keeping where and when it was begun."""
        write_file(self.config, _pretty({**self.read_json(self.config), "config": config}))

    def check_format(self) -> None:
        """Raise DexloopError unless this is a run that this version can read."""
        if not self.exists:
            raise DexloopError(f"{self.root} holds no run (no config.json); begin one with: dexloop run TASK")
        try:
            found = json.loads(self.config.read_text())["format"]
        except (ValueError, TypeError) as error:
            raise DexloopError(f"{self.config} is damaged: {error}") from None
        except KeyError:
            found = None
        if found != FORMAT:
            raise DexloopError(f"{self.root} has run format {found!r}; this version of dexloop reads {FORMAT}")

    def write_json(self, path: Path, values: Any) -> None:
        """Write a JSON file, whole or not at all."""
        write_file(path, _pretty(values))

    def read_json(self, path: Path) -> Any:
        """Read a JSON file of this run; raises DexloopError naming it when it is missing or damaged."""
        try:
            return json.loads(path.read_text())
        except FileNotFoundError:
            raise DexloopError(f"{path} is missing") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DexloopError(f"{path} is damaged: {error}") from None

    def add_evaluation(self, entry: dict[str, Any]) -> None:
        """Add one policy's evaluation, in place of an earlier one of the same policy."""
        entries: list[dict[str, Any]] = self.read_json(self.evaluation) if self.evaluation.is_file() else []
        kept = [e for e in entries if e["policy"] != entry["policy"]]
        self.write_json(self.evaluation, [*kept, entry])


def host_facts() -> dict[str, Any]:
    """Version and machine, as they stand beside every result."""
    return {
        "dexloop_version": version("dexloop"),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "host": {
            "platform": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
    }


def _pretty(values: Any) -> bytes:
    return (json.dumps(values, indent=1) + "\n").encode()
