"""What a learner asks of the machine that it computes on."""

from __future__ import annotations

from pathlib import Path

import torch

from dexloop.errors import DexloopError

# As Linux writes them, of x86 and of Arm processors.
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def usable_device(name: str) -> torch.device:
    """The device called ``name``, as in ``--algorithm.learner.device``.

    Raises DexloopError where PyTorch cannot use it here.
    """
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise DexloopError(f"--algorithm.learner.device {name}: PyTorch cannot use it here ({reason})") from None


def multiplies_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor has instructions for products of bfloat16, without which they take ten times as long.

    cpuinfo: what Linux says of the processor; where there is no such file the answer is no.
    """
    try:
        words = cpuinfo.read_text().split()
    except OSError:
        return False
    return not _BFLOAT16_FLAGS.isdisjoint(words)


def keep_freed_memory() -> None:
    """Have the C library keep the memory that an update frees for the next one.

    glibc gives free memory back to the system when there is more than twice the largest block that it ever saw freed,
    32 MiB at most, and an update's temporaries are more. To get it again, page by page, took a tenth of an update.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)
