"""A program that waits for its end hears a signal whenever it comes."""

import subprocess
import sys

import pytest

PROGRAM = """
import random, signal
from dexloop.end import End

end = End((signal.SIGALRM,))
assert not end.wait(0.01)
for _ in range(3_000):
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 60e-6))
    while not end.wait(0.05):
        pass
assert not end.wait(0.01)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no interval timers")
def test_a_signal_that_comes_just_as_a_wait_begins_ends_it() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
