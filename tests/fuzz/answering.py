"""A server on loopback that sends every client the same bytes, whatever it asks."""

from __future__ import annotations

import socket
import threading
from types import TracebackType


class Answering:
    """Serves within a ``with``; ends with it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Answering:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A closed socket does not wake whoever accepts from it; a connection does.
        self._ended = True
        with socket.create_connection(self._socket.getsockname(), timeout=5):
            pass
        self._thread.join(timeout=10)
        self._socket.close()

    _ended = False

    def _serve(self) -> None:
        while not self._ended:
            client, _ = self._socket.accept()
            with client:
                client.settimeout(5)
                try:
                    asked = b""
                    while b"\r\n\r\n" not in asked and (more := client.recv(65536)):
                        asked += more
                    client.sendall(self._answer)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
                except OSError:
                    continue
