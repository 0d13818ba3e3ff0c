"""A robot service as it is used, every part in a process of its own, with bad networks between them.

    worker  --relay-->  service  --relays-->  arm and hand, simulated

All times are ``time.monotonic()``, which Linux counts for all processes alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dexloop.robot.robot_file import RobotFile, read_robot
from dexloop.robot.simulators.device_process import ask
from dexloop.robot.simulators.journal import MEASURED, read_journal
from dexloop.robot.simulators.relay import Relay
from dexloop.sim.hand import EE_IN_HAND, FLANGE_TO_HAND
from dexloop.sim.kinematics import ArmKinematics, pose

Rows = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
NOWHERE = ("127.0.0.1", 9)
STARTING = 90.0
"""How long a process may take to start on a busy machine [s]."""
SETTLED = 0.5
"""After the start of an episode nothing of the way home is left in the newest motion [s]."""
STILL_SECONDS = 0.15
JOINT_STILL, FINGER_STILL = 0.005, 0.02
"""Whose joints stay within 0.3 degrees and whose fingers within 0.02 closed fractions for that long rests."""
# Limits of time that a busy machine does not break by itself, and still short.
ROBOT_FILE = """
[arm]
host = "127.0.0.1"
port = {arm}
push_port = 0
[hand]
transport = "modbus-tcp"
host = "127.0.0.1"
port = {hand}
timeout = 0.4
[safety]
joint_speed = 180.0
point_speed = 0.5
contact_speed = 0.25
finger_speed = 2.0
overrun = {overrun}
stale = {stale}
frozen = 0.5
[reset]
confirm = false
speed = 60.0
"""


class Rig:
    """The parts, of which each can be started, hurt and started again; everything ends with ``close``.

    folder: an empty one. overrun, stale [s]: of the robot file. cameras: its sections for them.
    """

    def __init__(self, folder: Path, *, overrun: float = 1.0, stale: float = 0.5, cameras: str = "") -> None:
        self.folder = folder
        self.devices_socket = folder / "devices.sock"
        self.episodes = folder / "episodes"
        self._notes: list[dict[str, Any]] = []
        self.devices: subprocess.Popen[str] | None = None
        self.service: subprocess.Popen[str] | None = None
        self.worker: subprocess.Popen[str] | None = None
        self._started = self._logged = 0
        self._log = folder / "errors.log"
        self._log.touch()
        self._ends = contextlib.ExitStack()
        self.client_relay, self.arm_relay, self.hand_relay = (
            self._ends.enter_context(Relay(NOWHERE, seed=seed)) for seed in range(3)
        )
        self.config = folder / "robot.toml"
        text = ROBOT_FILE.format(arm=self.arm_relay.port, hand=self.hand_relay.port, overrun=overrun, stale=stale)
        self.config.write_text(text + cameras, encoding="utf-8")
        self.address = f"127.0.0.1:{self.client_relay.port}"

    @property
    def file(self) -> RobotFile:
        """What the service is told about the robot."""
        return read_robot(self.config)

    def start_devices(self) -> None:
        """Arm, hand and scene, at home."""
        self.devices = self._start(
            "-m", "dexloop.robot.simulators.device_process", self.config,
            "--socket", self.devices_socket, "--journal", self._journal("devices"),
        )  # fmt: skip
        assert self.devices.stdout is not None
        told = json.loads(self.devices.stdout.readline())
        self.arm_relay.target = ("127.0.0.1", told["arm"])
        self.hand_relay.target = ("127.0.0.1", told["hand"][1])

    def start_service(self, environment: Mapping[str, str] | None = None) -> None:
        """The command; returns when it listens. Raises RuntimeError with what it said where it does not."""
        self._logged = len(self._log.read_text(encoding="utf-8"))
        self.service = self._start(
            HERE / "chaos_service.py", self._journal("service"), "--robot", "rm65-inspire", "--config", self.config,
            "--bind", "127.0.0.1:0", environment=environment,
        )  # fmt: skip
        said, until = "", time.monotonic() + STARTING
        while "listening at" not in said:
            said = self._log.read_text(encoding="utf-8")[self._logged :]
            if self.service.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the service did not start: {said.strip()}")
            time.sleep(0.01)
        host, _, port = said.partition("listening at ")[2].partition(";")[0].rpartition(":")
        self.client_relay.target = (host, int(port))

    def start_worker(self, seed: int = 0, episodes: int = 1_000_000) -> None:
        """The scripted operator; does not wait."""
        self.worker = self._start(
            HERE / "chaos_worker.py", self.address, "--devices", self.devices_socket, "--out", self.episodes,
            "--seed", str(seed), "--episodes", str(episodes),
        )  # fmt: skip
        assert self.worker.stdout is not None
        threading.Thread(target=self._listen, args=(self.worker.stdout,), daemon=True).start()

    def ask(self, do: str, **words: Any) -> dict[str, Any]:
        """Of the devices; see ``device_process.ask``."""
        return ask(self.devices_socket, do, **words)

    def notes(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What the workers have said, of one kind or all."""
        return [note for note in list(self._notes) if kind is None or note["kind"] == kind]

    def journals(self, part: str) -> list[Path]:
        """The journals of every start of ``part``, devices or service, in their order."""
        return sorted(self.folder.glob(f"{part}-*.rows"))

    def rows(self, part: str, kind: int) -> Rows:
        """The newest journal's rows (N, 13) of a kind: time and values."""
        rows = read_journal(self.journals(part)[-1])
        return np.delete(rows[rows[:, 1] == kind], 1, axis=1)

    def wait(self, condition: Callable[[], object], seconds: float, what: str) -> float:
        """Wait for a condition; when it was so [s]."""
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(f"not within {seconds:g} s: {what}; notes: {self.notes()[-3:]}")
            time.sleep(0.01)
        return time.monotonic()

    def wait_for_motion(self, seconds: float = 60.0, speed: float = 0.08) -> float:
        """Wait until the hand moves faster than ``speed`` [m/s] for a while in an episode."""
        return self.wait(lambda: self._moves(speed), seconds, "the robot moves")

    def end(self, part: str) -> None:
        """SIGKILL to devices, service or worker."""
        child: subprocess.Popen[str] | None = getattr(self, part)
        if child is not None:
            child.send_signal(signal.SIGCONT)
            child.kill()
            child.wait()
            # The worker's words are listened to until they end.
            for pipe in (child.stdin, child.stdout if part != "worker" else None):
                if pipe is not None:
                    pipe.close()
            setattr(self, part, None)

    def signal(self, part: str, number: signal.Signals) -> float:
        """Send a signal; when it was sent [s]."""
        child: subprocess.Popen[str] | None = getattr(self, part)
        assert child is not None
        child.send_signal(number)
        return time.monotonic()

    def close(self) -> None:
        """End every process and relay."""
        for part in ("worker", "service", "devices"):
            self.end(part)
        self._ends.close()

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _moves(self, speed: float) -> bool:
        notes = self.notes()
        # Just after the start it may still come to rest at home.
        if not notes or notes[-1]["kind"] != "start" or time.monotonic() < notes[-1]["t"] + SETTLED:
            return False
        rows = self.rows("devices", MEASURED)[-20:]
        return len(rows) == 20 and path_length(rows) > speed * (rows[-1, 0] - rows[0, 0])

    def _journal(self, part: str) -> Path:
        self._started += 1
        return self.folder / f"{part}-{self._started:04d}.rows"

    def _start(self, *words: str | Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        with self._log.open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                [sys.executable, *map(str, words)],
                env=dict(environment or os.environ) | {"OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def _listen(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                # The last one of a worker that was killed may be cut.
                with contextlib.suppress(ValueError):
                    self._notes.append(json.loads(line))


def resting_since(measured: Rows, moment: float) -> float | None:
    """When the robot first rested after ``moment`` [s], from where it was (N, 13); None where it did not."""
    rows = measured[measured[:, 0] >= moment]
    times = rows[:, 0]
    for i, end in enumerate(np.searchsorted(times, times + STILL_SECONDS)):
        if end >= len(times):
            return None
        span = np.ptp(rows[i : end + 1, 1:], axis=0)
        if span[:6].max() < JOINT_STILL and span[6:].max() < FINGER_STILL:
            return float(times[i])
    return None


def path_length(measured: Rows) -> float:
    """How far the end effector went [m], through rows (N, 13)."""
    # Every fifth: shorter steps would count how it trembles.
    places = np.array([KINEMATICS.forward(joints)[:3, 3] for joints in measured[::5, 1:7]])
    return float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())


def distance(measured: Rows, start: float, end: float) -> float:
    """How far the end effector went between two moments [m]."""
    return path_length(measured[(measured[:, 0] >= start) & (measured[:, 0] <= end)])


KINEMATICS = ArmKinematics(np.eye(4), pose(FLANGE_TO_HAND @ EE_IN_HAND, FLANGE_TO_HAND))
"""Of the end effector in the frame of the arm's base."""
