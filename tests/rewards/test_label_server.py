from __future__ import annotations

import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dexloop.errors import DexloopError
from dexloop.rewards.label_server import LabelServer, LabelSource
from dexloop.rewards.labels import Label, Labels
from dexloop.types import ImageArray


def _frames() -> Mapping[str, ImageArray]:
    return {name: np.full((12, 16, 24, 3), 80, np.uint8) for name in ("front", "wrist")}


def _damaged() -> Mapping[str, ImageArray]:
    raise DexloopError("demos/videos/9.mp4: cannot be decoded")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LabelServer]:
    episodes = [
        LabelSource("demos/0", _frames, suggestion=7),
        LabelSource("rollouts/0", _frames),
        LabelSource("rollouts/9", _damaged),
    ]
    labels = Labels(tmp_path / "reward" / "labels.json")
    labels.set("rollouts/0", Label(None))
    with LabelServer(episodes, labels) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _ask(
    server: LabelServer,
    path: str,
    body: bytes | None = None,
    token: str | None = None,
    **headers: str,
) -> tuple[int, bytes, Mapping[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    try:
        address = f"/{server.token if token is None else token}/{path}"
        connection.request("GET" if body is None else "POST", address, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def _label(server: LabelServer, index: int, wanted: Any) -> int:
    return _ask(server, f"label/{index}", json.dumps(wanted).encode())[0]


def test_the_page_and_the_episodes_are_served(server: LabelServer) -> None:
    status, page, headers = _ask(server, "")
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.search(rb"https?://", page)

    assert json.loads(_ask(server, "episodes")[1]) == [
        {"key": "demos/0", "suggestion": 7, "label": None},
        {"key": "rollouts/0", "suggestion": None, "label": {"success_from": None}},
        {"key": "rollouts/9", "suggestion": None, "label": None},
    ]
    layout = json.loads(_ask(server, "episode/0")[1])
    assert (layout["frames"], layout["cameras"], layout["sheets"]) == (12, ["front", "wrist"], 1)
    status, sheet, headers = _ask(server, "sheet/0/0")
    assert status == 200 and headers["Content-Type"] == "image/jpeg"
    with av.open(io.BytesIO(sheet)) as container:
        image = next(container.decode(video=0))
    assert image.width == layout["columns"] * layout["width"]
    assert image.height == layout["rows"] * layout["height"]


def test_each_label_is_on_disk_when_it_is_answered(server: LabelServer, tmp_path: Path) -> None:
    path = tmp_path / "reward" / "labels.json"
    for wanted, stored in (
        ({"success_from": 11}, Label(11)),
        ({"success_from": None}, Label(None)),
        ({"skip": True}, Label(None, skip=True)),
        (None, None),
    ):
        assert _label(server, 0, wanted) == 200
        assert Labels(path).get("demos/0") == stored
    assert Labels(path).get("rollouts/0") == Label(None)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b'{"success_from": 12}', b'{"success_from": -1}', b'{"success_from": "1"}']
)
def test_what_is_no_label_changes_nothing(server: LabelServer, body: bytes) -> None:
    before = server.labels.episodes
    status, answer, _ = _ask(server, "label/0", body)
    assert status == 400 and "not a label" in json.loads(answer)["error"]
    assert server.labels.episodes == before


def test_other_addresses_tokens_and_hosts_are_refused(server: LabelServer) -> None:
    port = server.server_port
    for path in ("nothing", "episode/3", "episode/-1", "episode/x", "sheet/0/1", "sheet/0", "../etc/passwd"):
        assert _ask(server, path)[0] == 404
    for token in ("", "wrong", server.token[:-1], server.token + "x", "\N{POUND SIGN}".encode().hex()):
        assert _ask(server, "episodes", token=token)[0] == 404
        assert _ask(server, "label/0", b'{"success_from": 1}', token=token)[0] == 404
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", ""):
        assert _ask(server, "episodes", Host=host)[0] == 403
    assert _ask(server, "episodes", Host=f"localhost:{port}")[0] == 200
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}"):
        assert _ask(server, "label/0", b'{"success_from": 1}', Origin=origin)[0] == 403
    assert server.labels.get("demos/0") is None
    assert _ask(server, "label/0", b'{"success_from": 1}', Origin=f"http://127.0.0.1:{port}")[0] == 200


@pytest.mark.parametrize(("length", "status"), [("4097", 413), ("9" * 30, 413), ("-1", 411), ("x", 411)])
def test_the_size_of_a_label_is_bounded_before_it_is_read(server: LabelServer, length: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as connection:
        head = f"POST /{server.token}/label/0 HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
        connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
        assert f" {status} ".encode() in connection.recv(4096)


def test_a_damaged_episode_is_told_and_the_others_stay(server: LabelServer) -> None:
    status, answer, _ = _ask(server, "episode/2")
    assert status == 500 and "9.mp4" in json.loads(answer)["error"]
    assert _label(server, 2, {"success_from": 3}) == 500
    assert _label(server, 0, {"success_from": 3}) == 200


def test_frames_are_decoded_once_for_many_requests() -> None:
    asked: list[int] = []

    def frames() -> Mapping[str, ImageArray]:
        asked.append(1)
        return _frames()

    with LabelServer([LabelSource("demos/0", frames)], Labels(Path("unused.json"))) as server:
        threads = [threading.Thread(target=server.sheets, args=(0,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(asked) == 1


def test_only_this_machine_is_served(tmp_path: Path) -> None:
    labels, episodes = Labels(tmp_path / "labels.json"), [LabelSource("demos/0", _frames)]
    for host in ("0.0.0.0", "", "192.168.1.7", "example.com"):
        with pytest.raises(DexloopError, match="--host"):
            LabelServer(episodes, labels, host=host)
    with pytest.raises(DexloopError, match="no episodes"):
        LabelServer([], labels)
    with (
        LabelServer(episodes, labels) as server,
        pytest.raises(DexloopError, match=f"--port {server.server_port}"),
    ):
        LabelServer(episodes, labels, port=server.server_port)


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from dexloop.rewards.label_server import LabelSource, label_episodes
frames = lambda: {"front": np.zeros((5, 8, 8, 3), np.uint8)}
label_episodes([LabelSource("demos/0", frames)], Path(sys.argv[1]), announce=lambda text: print(text, flush=True))
"""


def test_ctrl_c_ends_it_with_everything_saved(tmp_path: Path) -> None:
    store = tmp_path / "labels.json"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(store)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        address = re.search(r"http://(127\.0\.0\.1):(\d+)(/\S+/)", process.stdout.readline())
        assert address is not None
        connection = http.client.HTTPConnection(address[1], int(address[2]), timeout=5)
        connection.request("POST", f"{address[3]}label/0", b'{"success_from": 2}')
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, errors) == (0, "")
    assert f"1 labels are in {store}" in rest
    assert Labels(store).get("demos/0") == Label(2)
