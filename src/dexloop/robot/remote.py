"""``dexloop stop``, ``rearm`` and ``confirm``: a robot behind its controller, from any terminal that may reach it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Annotated, TypeVar

import tyro
from tyro.conf import Positional, arg

from dexloop.errors import DexloopError
from dexloop.flags import flags_of_configurations
from dexloop.progress import say
from dexloop.robot.client import GrpcEnv
from dexloop.robot.config import ClientSecurity

Address = Annotated[str, Positional, arg(metavar="HOST:PORT", help="Of the controller, with or without grpc://.")]
Done = TypeVar("Done")
_SECURITY = ClientSecurity()


def main(verb: str, arguments: Sequence[str]) -> int:
    """Run ``stop``, ``rearm`` or ``confirm``; the exit code is 0 where it is done, and 1 otherwise."""
    commands: dict[str, Callable[..., None]] = {"stop": stop, "rearm": rearm, "confirm": confirm}
    try:
        tyro.cli(commands[verb], prog=f"dexloop {verb}", args=list(arguments), registry=flags_of_configurations())
    except DexloopError as error:
        say(f"error: {error}")
        return 1
    return 0


def stop(address: Address, grpc: ClientSecurity = _SECURITY) -> None:
    """Have a robot brake and rest until dexloop rearm, whoever controls it. No emergency stop.

    Args:
        address: Of the controller.
        grpc: What the controller asks of its clients.
    """
    _do(GrpcEnv.stop, address, grpc)
    say("stopped; once somebody has looked: dexloop rearm, or Enter where a program that controls it asks")


def rearm(address: Address, grpc: ClientSecurity = _SECURITY) -> None:
    """Let a robot move again after a stop or a fault; somebody has looked. A program that controls it asks itself.

    Args:
        address: Of the controller.
        grpc: What the controller asks of its clients.
    """
    _do(GrpcEnv.rearm, address, grpc)
    say("armed again; it moves when a client does")


def confirm(address: Address, grpc: ClientSecurity = _SECURITY) -> None:
    """Say that the object is in place and nobody near, as Enter at the terminal of dexloop serve does.

    Args:
        address: Of the controller.
        grpc: What the controller asks of its clients.
    """
    say(f"confirmed: {_do(GrpcEnv.confirm, address, grpc)}")


def _do(act: Callable[[GrpcEnv], Done], address: str, security: ClientSecurity) -> Done:
    with closing(GrpcEnv(address.removeprefix("grpc://"), security)) as robot:
        return act(robot)
