"""A codec server: decrypts for the Temporal UI and CLI what Temporal itself cannot read, and encrypts what they send.

The remote codec protocol of Temporal: ``POST /decode`` and ``POST /encode`` with ``{"payloads": [...]}`` as protobuf's
JSON. Whoever reaches it reads histories: it listens on loopback unless told otherwise, answers browsers of the named
origins only, and asks for a bearer token when it has one.
"""

from __future__ import annotations

import hmac
import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads

from coalmine.encryption.codec import EncryptionCodec
from coalmine.errors import CoalmineError, InputError

LARGEST_BODY = 64 * 1024 * 1024
"""A page of a history is far smaller."""
ANSWER_WITHIN = 30.0
"""Seconds a client may take to send its request."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True)
class Access:
    """Who is answered."""

    origins: frozenset[str]
    """Of pages in browsers, such as that of the Temporal UI; ``scheme://host[:port]``."""
    token: str | None = None
    """``Authorization: Bearer``; None asks for none."""
    hosts: frozenset[str] = LOOPBACK
    """Names a request may call us by (its ``Host`` without the port): a page that rebinds a name of its own to our
    address is refused."""


class CodecServer(ThreadingHTTPServer):
    """Serves until ``shutdown``."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], codec: EncryptionCodec, access: Access) -> None:
        """Bind; port 0 takes a free one.

        Raises:
            InputError: the address cannot be bound.
        """
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.codec = codec
        self.access = access
        try:
            super().__init__(address, _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"codec server: {address[0]}:{address[1]} cannot be bound: {reason}") from None

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: CodecServer
    protocol_version = "HTTP/1.1"
    server_version = "coalmine-codec"
    sys_version = ""
    timeout = ANSWER_WITHIN
    _verbs: ClassVar[dict[str, str]] = {"/decode": "decrypted", "/encode": "encrypted"}

    def do_OPTIONS(self) -> None:
        self._answer(lambda: (HTTPStatus.NO_CONTENT, None))

    def do_POST(self) -> None:
        self._answer(self._coded)

    def do_GET(self) -> None:
        def healthy() -> tuple[HTTPStatus, Any]:
            if self.path != "/health":
                raise _Refused(HTTPStatus.NOT_FOUND, "POST /decode or /encode")
            return HTTPStatus.OK, {"status": "ok"}

        self._answer(healthy)

    def _answer(self, work: Callable[[], tuple[HTTPStatus, Any]]) -> None:
        try:
            self._check_place()
            status, body = work()
        except _Refused as refused:
            status, body = refused.status, {"message": str(refused)}
            # What was not read of the request would pass for the next one.
            self.close_connection = True
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        origin = self.headers.get("Origin")
        if origin in self.server.access.origins:
            self.send_header("Access-Control-Allow-Origin", origin or "")
            self.send_header("Access-Control-Allow-Headers", "content-type,x-namespace,authorization")
            self.send_header("Access-Control-Allow-Methods", "POST,OPTIONS")
            self.send_header("Access-Control-Max-Age", "600")
        self.send_header("Vary", "Origin")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _check_place(self) -> None:
        access, host = self.server.access, self.headers.get("Host") or ""
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name.lower() not in access.hosts:
            raise _Refused(HTTPStatus.FORBIDDEN, f"no such host here: {host!r}; name it with --host")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in access.origins:
            raise _Refused(HTTPStatus.FORBIDDEN, f"pages of {origin!r} are not answered; name it with --origin")

    def _coded(self) -> tuple[HTTPStatus, Any]:
        access = self.server.access
        if access.token is not None:
            given = self.headers.get("Authorization") or ""
            if not hmac.compare_digest(given.encode(), f"Bearer {access.token}".encode()):
                raise _Refused(HTTPStatus.UNAUTHORIZED, "a bearer token is needed, and this is not the one")
        verb = self._verbs.get(self.path.partition("?")[0])
        if verb is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "POST /decode or /encode")
        code: Callable[[Payload], Payload] = getattr(self.server.codec, verb)
        try:
            coded = Payloads(payloads=[code(payload) for payload in self._payloads()])
        except CoalmineError as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, str(error)) from None
        return HTTPStatus.OK, json_format.MessageToDict(coded)

    def _payloads(self) -> Sequence[Payload]:
        length = self.headers.get("Content-Length") or ""
        if not (length.isascii() and length.isdigit()):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "Content-Length is needed")
        if len(length) > len(str(LARGEST_BODY)) or int(length) > LARGEST_BODY:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {LARGEST_BODY} bytes")
        try:
            return json_format.Parse(self.rfile.read(int(length)), Payloads()).payloads
        except (json_format.ParseError, UnicodeDecodeError, ValueError, RecursionError) as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _Refused(HTTPStatus.BAD_REQUEST, f'not {{"payloads": [...]}}: {text}') from None

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: request lines tell nobody anything, and bodies are secrets."""
