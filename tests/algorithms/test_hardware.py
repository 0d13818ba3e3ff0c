"""What the machine can do is read from what it says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from dexloop.algorithms.hardware import multiplies_bfloat16


@pytest.mark.parametrize(
    ("line", "can"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16", True),
        ("flags\t\t: fpu avx512f amx_bf16 amx_tile", True),
        ("Features\t: fp asimd i8mm bf16", True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", False),
    ],
)
def test_a_processor_multiplies_bfloat16_where_its_flags_say_so(tmp_path: Path, line: str, can: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name\t: some bf16-less name\n{line}\n")
    assert multiplies_bfloat16(cpuinfo) is can


def test_where_nothing_is_said_it_does_not(tmp_path: Path) -> None:
    assert not multiplies_bfloat16(tmp_path / "cpuinfo")
