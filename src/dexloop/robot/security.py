"""Who may reach a controller: anybody on this machine; beyond it, only with TLS and a token."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from dexloop.errors import DexloopError
from dexloop.robot.config import ClientSecurity

_HEADER = "authorization"
_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class ServerSecurity:
    """certificate, key: PEM files of the server's TLS; token: file whose first line clients must know."""

    certificate: Path | None = None
    key: Path | None = None
    token: Path | None = None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def split_address(address: str, flag: str) -> tuple[str, int]:
    """HOST:PORT as a pair; raises DexloopError naming ``flag``."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise DexloopError(f"{flag} {address}: give HOST:PORT, for example 127.0.0.1:50051")
    return host, int(port)


def check_bind(host: str, security: ServerSecurity) -> None:
    """Raise DexloopError for an address beyond this machine without TLS and a token."""
    if is_loopback(host):
        return
    missing = [
        flag
        for flag, path in (
            ("--security.certificate", security.certificate),
            ("--security.key", security.key),
            ("--security.token", security.token),
        )
        if path is None
    ]
    if missing:
        raise DexloopError(
            f"--bind {host}: other machines could move the robot; give {', '.join(missing)} too, or bind to 127.0.0.1"
        )


def server_credentials(security: ServerSecurity) -> grpc.ServerCredentials | None:
    """The server's TLS, None without; raises DexloopError for half of it and for files that cannot be read."""
    if security.certificate is None and security.key is None:
        return None
    if security.certificate is None or security.key is None:
        raise DexloopError("--security.certificate and --security.key: TLS needs both")
    pair = _read(security.key, "--security.key"), _read(security.certificate, "--security.certificate")
    return grpc.ssl_server_credentials([pair])


def read_token(path: Path) -> str:
    """The first line of a token file; raises DexloopError for one that could be guessed."""
    token = _read(path, "--security.token").decode(errors="replace").partition("\n")[0].strip()
    if len(token) < _SHORTEST_TOKEN:
        raise DexloopError(
            f"--security.token {path}: its first line has {len(token)} characters, and needs {_SHORTEST_TOKEN}; "
            "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return token


class TokenGuard(grpc.ServerInterceptor):
    """Turns away every call that does not carry the token."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

        def deny(request: Any, context: grpc.ServicerContext) -> None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or wrong")

        self._unary = grpc.unary_unary_rpc_method_handler(deny)
        self._stream = grpc.stream_stream_rpc_method_handler(deny)

    def intercept_service(self, continuation: Callable[..., Any], handler_call_details: Any) -> Any:
        """The real handler for callers with the token, one that refuses for all others."""
        given = next((value for key, value in handler_call_details.invocation_metadata if key == _HEADER), "")
        handler = continuation(handler_call_details)
        if hmac.compare_digest(str(given).encode(), self._expected):
            return handler
        return self._stream if handler is not None and handler.request_streaming else self._unary


def open_channel(host: str, port: int, security: ClientSecurity, options: list[tuple[str, int]]) -> grpc.Channel:
    """A channel to a controller: with TLS where a certificate is given, plain on this machine only.

    Raises DexloopError for another machine without a certificate: its token would travel in the open.
    """
    target = f"{host}:{port}"
    if security.certificate is None:
        if not is_loopback(host):
            raise DexloopError(
                f"--robot grpc://{target}: another machine needs TLS; give --grpc.certificate and --grpc.token"
            )
        return grpc.insecure_channel(target, options=options)
    authority = grpc.ssl_channel_credentials(_read(security.certificate, "--grpc.certificate"))
    return grpc.secure_channel(target, authority, options=options)


def call_metadata(security: ClientSecurity) -> tuple[tuple[str, str], ...]:
    """What every call carries."""
    return () if security.token is None else ((_HEADER, f"Bearer {read_token(security.token)}"),)


def _read(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DexloopError(f"{flag} {path}: {error.strerror}") from None
