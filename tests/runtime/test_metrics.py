"""metrics.jsonl survives crashes and several writers."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

from dexloop.runtime.metrics import MetricsFile, read_metrics


def test_records_come_back_in_order_with_their_kind_and_time(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.write("episode", success=True, length=12, note=None)
    file.write("update", loss=0.25)
    records = list(read_metrics(file.path))
    assert [r.pop("kind") for r in records] == ["episode", "update"]
    assert all(r.pop("time") > 1e9 for r in records)
    assert records == [{"success": True, "length": 12, "note": None}, {"loss": 0.25}]


def test_what_is_not_a_number_becomes_null(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.write("update", loss=math.nan, value=-math.inf, fine=1.0)
    line = json.loads(file.path.read_text(), parse_constant=lambda name: 1 / 0)
    assert (line["loss"], line["value"], line["fine"]) == (None, None, 1.0)


def test_no_file_has_no_records(tmp_path: Path) -> None:
    assert list(read_metrics(tmp_path / "metrics.jsonl")) == []


def test_a_torn_last_line_is_passed_over_and_costs_no_later_record(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for index in range(3):
        file.write("update", index=index)
    whole = file.path.read_bytes()
    for kept in range(len(whole) - 2, len(whole) - 40, -7):
        file.path.write_bytes(whole[:kept])
        assert [r["index"] for r in read_metrics(file.path)] == [0, 1]
        file.write("update", index=9)
        assert [r["index"] for r in read_metrics(file.path)][-1] == 9, "swallowed by the torn line"
        assert [r["index"] for r in read_metrics(file.path)][:2] == [0, 1]


def test_noise_in_the_file_is_passed_over(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.write("update", index=0)
    with file.path.open("ab") as raw:
        raw.write(b"\xff\xfe\x00\n[1, 2]\n7\n\n")
    file.write("update", index=1)
    assert [r["index"] for r in read_metrics(file.path)] == [0, 1]


WRITER = """
import sys
from pathlib import Path
from dexloop.runtime.metrics import MetricsFile

file = MetricsFile(Path(sys.argv[1]))
for index in range(300):
    file.write("update", writer=sys.argv[2], index=index, filler="x" * 200)
"""


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    records = list(read_metrics(path))
    for name in "ab":
        assert [r["index"] for r in records if r["writer"] == name] == list(range(300))
