"""A camera that streams over HTTP, as network cameras do (multipart/x-mixed-replace), on this machine alone."""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dexloop.robot.simulators.cameras.feed import Feed
from dexloop.robot.simulators.cameras.jpeg import to_jpeg

_MOST_VIEWERS = 4
_BOUNDARY = "picture"


class MjpegCamera:
    """Serves a feed until ``close``, to a few viewers at a time; ``url`` is what a program opens."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._viewers = threading.Semaphore(_MOST_VIEWERS)
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="mjpeg", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/stream.mjpg"

    def __enter__(self) -> MjpegCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all streams and the server."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if camera.feed.fault == "unplugged" or not camera._viewers.acquire(blocking=False):
                    self.send_error(503)
                    return
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
                    self.end_headers()
                    with contextlib.suppress(OSError):
                        camera._stream(self)
                finally:
                    camera._viewers.release()

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        return Handler

    def _stream(self, viewer: BaseHTTPRequestHandler) -> None:
        due = time.monotonic()
        while self.feed.fault != "unplugged":
            picture = self.feed.next()
            if picture is not None:
                data = to_jpeg(picture)
                if self.feed.fault == "damaged":
                    data = data[: len(data) // 2]
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                viewer.wfile.write(head.encode() + data + b"\r\n")
            due = max(due + 1.0 / self.feed.fps, time.monotonic() - 1.0)
            if self._closing.wait(max(0.0, due - time.monotonic())):
                return
