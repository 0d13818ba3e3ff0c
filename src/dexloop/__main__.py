"""``dexloop`` and ``python -m dexloop``: the command line, quiet where a person or a pipe does not want it any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from dexloop import interruption
from dexloop.errors import DexloopError


def main() -> int:
    """Run the command line; the exit code is that of the command, and 1 where a pipe was closed."""
    try:
        # Importing takes seconds, in which Ctrl-C and errors (of MUJOCO_GL) are to be as quiet as later.
        interruption.end_at_once()
        command = _command(sys.argv[1:])
        interruption.raise_again()
        try:
            return command()
        finally:
            # A closed pipe is noticed here, and not when Python ends and can only complain.
            sys.stdout.flush()
    except DexloopError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return interruption.STATUS
    except BrokenPipeError:
        # As Python's documentation of SIGPIPE has it: whatever is still to be flushed goes nowhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return 1
    finally:
        interruption.raise_again()


def _command(words: Sequence[str]) -> Callable[[], int]:
    """What these words ask for. A robot's computer has no PyTorch, which all but the first of them need."""
    remedy = "pip install 'dexloop[robot]'"
    try:
        match list(words):
            case ["serve", *rest]:
                from dexloop.serve import main as serve

                return partial(serve, rest)
            case ["stop" | "rearm" | "confirm" as verb, *rest]:
                from dexloop.robot.remote import main as remote

                return partial(remote, verb, rest)
            case ["calibrate", *rest]:
                from dexloop.calibrate import main as calibrate

                return partial(calibrate, rest)
            case ["doctor", *rest]:
                from dexloop.robot.doctor import main as doctor

                return partial(doctor, rest)
            case _:
                remedy = "pip install 'dexloop[train]'; serve, stop, rearm, confirm, calibrate and doctor do without"
                from dexloop.cli import main as run

                return run
    except ModuleNotFoundError as error:
        raise DexloopError(f"{' '.join(['dexloop', *words[:1]])} needs {error.name}: {remedy}") from None


if __name__ == "__main__":
    sys.exit(main())
