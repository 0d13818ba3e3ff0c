"""A page on this machine on which a person labels recorded episodes."""

from __future__ import annotations

import json
import secrets
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any, cast

from dexloop.errors import DexloopError
from dexloop.rewards.label_sheets import Sheets, make_sheets
from dexloop.rewards.labels import Label, Labels
from dexloop.types import ImageArray

_HOSTS = ("127.0.0.1", "localhost")
_MOST_POST_BYTES = 4096
_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class LabelSource:
    """An episode to label.

    key: its name in the store. frames: gives {camera: (T, H, W, 3) uint8}, what was seen after each of
    the T steps; called when somebody looks. suggestion: the frame from which on the simulation or a
    classifier saw success, None without one.
    """

    key: str
    frames: Callable[[], Mapping[str, ImageArray]]
    suggestion: int | None = None


def label_episodes(
    episodes: Sequence[LabelSource],
    store: Path,
    port: int = 0,
    host: str = "127.0.0.1",
    announce: Callable[[str], None] = print,
) -> None:
    """Serve the labelling page until Ctrl-C; every label is saved when it is given.

    port: 0 takes a free one. announce: is told the address to open. Raises DexloopError for a host
    that other machines can reach, a port in use or a damaged store.
    """
    server = LabelServer(episodes, Labels(store), port, host)
    announce(f"Label the episodes at {server.url} (Ctrl-C ends; labels are saved in {store})")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        announce(f"{len(server.labels.episodes)} labels are in {store}")
    finally:
        server.server_close()


class LabelServer(ThreadingHTTPServer):
    """The page and its data, on this machine only and only for those who know the token in the address."""

    daemon_threads = True

    def __init__(self, episodes: Sequence[LabelSource], labels: Labels, port: int = 0, host: str = "127.0.0.1") -> None:
        if host not in _HOSTS:
            raise DexloopError(
                f"--host {host}: labelling is served to this machine only, use 127.0.0.1; "
                "from elsewhere, forward the port with ssh -L"
            )
        if not episodes:
            raise DexloopError("there are no episodes to label; record some first")
        self.episodes = tuple(episodes)
        self.labels = labels
        self.token = secrets.token_urlsafe(24)
        self._decoding = threading.Lock()
        # A few episodes stay in memory, so that stepping to and fro between neighbours is instant.
        self._sheets = lru_cache(maxsize=4)(self._make_sheets)
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise DexloopError(f"--port {port}: cannot be used ({error}); choose another, or 0") from error

    @property
    def url(self) -> str:
        return f"http://{_HOSTS[0]}:{self.server_port}/{self.token}/"

    @property
    def allowed_hosts(self) -> set[str]:
        """What a browser on this machine calls us; another name is a page that plays with its DNS."""
        return {f"{name}:{self.server_port}" for name in _HOSTS}

    def sheets(self, index: int) -> Sheets:
        """All frames of an episode as JPEG sheets. Raises DexloopError where they cannot be had."""
        with self._decoding:
            return self._sheets(index)

    def overview(self) -> list[dict[str, Any]]:
        """What the page needs of every episode before it is looked at."""
        labels = self.labels.episodes
        return [
            {
                "key": episode.key,
                "suggestion": None if episode.suggestion is None else int(episode.suggestion),
                "label": labels[episode.key].as_json() if episode.key in labels else None,
            }
            for episode in self.episodes
        ]

    def store(self, index: int, wanted: object) -> None:
        """Keep the page's label {"success_from": n or null}, {"skip": true}, or null to forget it.

        Raises ValueError for anything else and for a frame that the episode does not have.
        """
        label = None if wanted is None else Label.from_json(wanted)
        if label is not None and (label.success_from or 0) >= self.sheets(index).frames:
            raise ValueError(f"success_from {label.success_from} lies behind the last frame")
        self.labels.set(self.episodes[index].key, label)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def _make_sheets(self, index: int) -> Sheets:
        return make_sheets(self.episodes[index].frames())


class _Handler(BaseHTTPRequestHandler):
    server_version = "dexloop"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        parts = self._path()
        try:
            match parts:
                case None:
                    return
                case [""]:
                    page = resources.files("dexloop.rewards").joinpath("label_page.html").read_bytes()
                    self._answer(HTTPStatus.OK, "text/html; charset=utf-8", page)
                case ["episodes"]:
                    self._answer_json(HTTPStatus.OK, self._labelling.overview())
                case ["episode", index] if self._exists(index):
                    sheets = self._labelling.sheets(int(index))
                    self._answer_json(HTTPStatus.OK, sheets.as_json())
                case ["sheet", index, number] if self._exists(index) and number.isascii() and number.isdigit():
                    images = self._labelling.sheets(int(index)).images
                    if len(number) > 6 or int(number) >= len(images):
                        self._refuse(HTTPStatus.NOT_FOUND, "there is no such sheet")
                    else:
                        self._answer(HTTPStatus.OK, "image/jpeg", images[int(number)])
                case _:
                    self._refuse(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        except DexloopError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

    def do_POST(self) -> None:
        parts = self._path()
        match parts:
            case None:
                return
            case ["label", index] if self._exists(index):
                pass
            case _:
                return self._refuse(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        given = self.headers.get("Content-Length", "")
        if not (given.isascii() and given.isdigit()):
            return self._refuse(HTTPStatus.LENGTH_REQUIRED, "a label needs a Content-Length")
        if len(given) > 6 or int(given) > _MOST_POST_BYTES:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a label is a few bytes of JSON")
        try:
            self._labelling.store(int(index), json.loads(self.rfile.read(int(given))))
        except (ValueError, RecursionError) as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, f"not a label: {error}")
        except DexloopError as error:
            return self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        self._answer_json(HTTPStatus.OK, {"saved": True})

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal belongs to the address and to errors."""

    @property
    def _labelling(self) -> LabelServer:
        return cast(LabelServer, self.server)

    def _path(self) -> list[str] | None:
        """The address behind the token, or None after a refusal."""
        server = self._labelling
        allowed = server.allowed_hosts
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in allowed or (
            origin is not None and origin.removeprefix("http://") not in allowed
        ):
            self._refuse(HTTPStatus.FORBIDDEN, "open the address that dexloop printed, host and port included")
            return None
        pieces = self.path.partition("?")[0].split("/")
        if len(pieces) < 3 or not secrets.compare_digest(pieces[1].encode(), server.token.encode()):
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing at this address")
            return None
        return pieces[2:]

    def _exists(self, index: str) -> bool:
        small = index.isascii() and index.isdigit() and len(index) <= 6
        return small and int(index) < len(self._labelling.episodes)

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._answer_json(status, {"error": reason})

    def _answer_json(self, status: HTTPStatus, content: object) -> None:
        self._answer(status, "application/json", json.dumps(content).encode("utf-8"))

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **_SECURITY}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
