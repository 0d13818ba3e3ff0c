"""One service with its devices and its worker for all tests, mended before each."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import pytest
from benchmarks.chaos_rig import Rig
from tests.robot.faults.outcome import check_journals

from dexloop.errors import DexloopError


def mended(rig: Rig) -> None:
    """Devices and service run, and nothing is wrong with any part."""
    rig.client_relay.stalled = rig.arm_relay.stalled = rig.hand_relay.stalled = False
    rig.client_relay.delay = rig.client_relay.jitter = 0.0
    if rig.devices is None or rig.devices.poll() is not None:
        rig.end("devices")
        rig.start_devices()
        rig.end("service")
    with contextlib.suppress(DexloopError):
        rig.ask("arm")
        rig.ask("arm_error", joint=2, code=0)
        for finger in range(6):
            rig.ask("temperature", finger=finger, celsius=30)
            rig.ask("jam", finger=finger, jammed=False)
    if rig.service is None or rig.service.poll() is not None:
        rig.end("service")
        rig.start_service()


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    if sys.platform != "linux":
        pytest.skip("clocks of processes are compared, as Linux allows")
    with Rig(tmp_path_factory.mktemp("rig")) as rig:
        yield rig


@pytest.fixture
def rig(started: Rig) -> Iterator[Rig]:
    """In an episode of the scripted operator; what no fault may lead to is looked for afterwards."""
    mended(started)
    if started.worker is None or started.worker.poll() is not None:
        started.end("worker")
        started.start_worker(seed=len(started.notes("begin")))
    started.wait_for_motion()
    yield started
    check_journals(started)


@pytest.fixture
def idle(started: Rig) -> Iterator[Rig]:
    """Without a client."""
    started.end("worker")
    mended(started)
    yield started
    check_journals(started)
