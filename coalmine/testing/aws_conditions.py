"""Conditional writes as AWS does them: compared and written in one step.

moto compares in one and writes in the next, so of two requests that come together both may win.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")
"""What S3 compares before it writes."""
_ROWS = "DynamoDB_"
"""What every request to DynamoDB names as its target; any of them may have a condition in its body."""


class Conditions:
    """A WSGI layer that lets conditional writes in one at a time."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        compares = environ["REQUEST_METHOD"] == "PUT" and any(name in environ for name in _CONDITIONS)
        if not compares and not environ.get("HTTP_X_AMZ_TARGET", "").startswith(_ROWS):
            answer: Iterable[bytes] = self._app(environ, start_response)
            return answer
        with self._lock:
            return list(self._app(environ, start_response))
