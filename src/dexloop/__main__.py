"""``dexloop`` and ``python -m dexloop``: the command line, quiet where a person or a pipe does not want it any more."""

from __future__ import annotations

import os
import sys

from dexloop import interruption
from dexloop.errors import DexloopError


def main() -> int:
    """Run the command line; the exit code is that of ``dexloop.cli.main``, and 1 where a pipe was closed."""
    try:
        # Importing takes seconds, in which Ctrl-C and errors (of MUJOCO_GL) are to be as quiet as later.
        interruption.end_at_once()
        if sys.argv[1:2] == ["serve"]:
            # A robot's computer has no PyTorch, which everything else needs.
            try:
                from dexloop.serve import main as serve
            except ModuleNotFoundError as error:
                raise DexloopError(f"dexloop serve needs {error.name}: pip install 'dexloop[robot]'") from None

            interruption.raise_again()
            return serve(sys.argv[2:])
        if sys.argv[1:2] in (["stop"], ["rearm"]):
            try:
                from dexloop.robot.remote import main as remote
            except ModuleNotFoundError as error:
                raise DexloopError(f"dexloop {sys.argv[1]} needs {error.name}: pip install 'dexloop[robot]'") from None

            interruption.raise_again()
            return remote(sys.argv[1], sys.argv[2:])
        if sys.argv[1:2] == ["calibrate"]:
            from dexloop.calibrate import main as calibrate

            interruption.raise_again()
            return calibrate(sys.argv[2:])
        if sys.argv[1:2] == ["doctor"] and sys.argv[2:]:
            # Only a robot's has flags; this machine's is in the command line as ever.
            from dexloop.robot.doctor import main as doctor

            interruption.raise_again()
            return doctor(sys.argv[2:])
        from dexloop.cli import main as run

        interruption.raise_again()
        try:
            return run()
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


if __name__ == "__main__":
    sys.exit(main())
