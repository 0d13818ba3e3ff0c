"""What a learner asks of the machine that it computes on."""

from __future__ import annotations

import torch

from dexloop.errors import DexloopError


def usable_device(name: str) -> torch.device:
    """The device called ``name``, as in ``--algorithm.learner.device``.

    Raises DexloopError where PyTorch cannot use it here.
    """
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise DexloopError(f"--algorithm.learner.device {name}: PyTorch cannot use it here ({reason})") from None


def keep_freed_memory() -> None:
    """Have the C library keep the memory that an update frees for the next one.

    glibc gives free memory back to the system when there is more than twice the largest block that it ever saw freed,
    32 MiB at most, and an update's temporaries are more. To get it again, page by page, took a tenth of an update.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)
