"""What one would write without dexloop: the same bytes over a bare gRPC stream, and over HTTP/1.1.

Servers announce their port and serve until their process ends.
"""

from __future__ import annotations

import http.client
import queue
from collections.abc import Callable, Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

_METHOD = "/bare.Robot/Control"


def serve_grpc(answer: bytes, announce: Callable[[int], None]) -> None:
    """Answer every message of a stream with ``answer``; neither is parsed."""

    def control(actions: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for _ in actions:
            yield answer

    handler = grpc.method_handlers_generic_handler(
        "bare.Robot", {"Control": grpc.stream_stream_rpc_method_handler(control)}
    )
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    announce(port)
    server.wait_for_termination()


def grpc_exchange(port: int, action: bytes) -> Callable[[], bytes]:
    """A call that sends ``action`` on one stream and returns the answer."""
    outbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    answers = grpc.insecure_channel(f"127.0.0.1:{port}").stream_stream(_METHOD)(iter(outbox.get, b""))

    def exchange() -> bytes:
        outbox.put(action)
        return next(answers)

    return exchange


def serve_http(answer: bytes, announce: Callable[[int], None]) -> None:
    """Answer every POST with ``answer`` and keep the connection; no log, and no delay for a full packet."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        # Head and body leave in one piece, which favours it.
        wbufsize = -1

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    announce(server.server_address[1])
    server.serve_forever()


def http_exchange(port: int, action: bytes) -> Callable[[], bytes]:
    """A call that posts ``action`` on one connection, which http.client gives TCP_NODELAY, and returns the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def exchange() -> bytes:
        connection.request("POST", "/control", action)
        return connection.getresponse().read()

    return exchange
