"""An HTTP server in a thread of its own, on a free port of this machine: what the fakes answer from."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Quiet:
    """For handlers: says nothing of what it was asked."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class KeptAlive(Quiet):
    """For handlers: keeps connections, and answers at once."""

    protocol_version = "HTTP/1.1"
    # A header and a body in two packets would wait for the client's delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True


class ThreadedServer:
    """Serves from ``start`` to ``stop``, or while a ``with`` lasts."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https" if tls is not None else "http"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Serve, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End, and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
