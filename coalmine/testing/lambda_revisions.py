"""A WSGI layer before moto that keeps the revisions of Lambda's aliases, as AWS does and moto does not.

moto 5.2 gives an alias one RevisionId for life and takes any; AWS gives a new one with every change, and answers a
stale one with 412 PreconditionFailedException (API reference of Lambda, UpdateAlias).
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterable

from coalmine.testing.aws_faults import App, Environ, StartResponse, answer, called, error_answer, read_body

_ALIAS = re.compile(r"/2015-03-31/functions/([^/]+)/aliases(?:/([^/]+))?$")
_REGION = re.compile(r"Credential=[^/]*/[^/]*/([^/]+)/")
STALE = (
    "The RevisionId provided does not match the latest RevisionId. Call the GetAlias API to retrieve the latest "
    "RevisionId for your alias."
)


class LambdaRevisions:
    """The layer: one change of an alias at a time, each with a revision of its own."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._revisions: dict[tuple[str, str, str], str] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        found = _ALIAS.fullmatch(environ.get("PATH_INFO", ""))
        method = environ["REQUEST_METHOD"]
        if found is None or (method, found[2] is None) not in {("POST", True), ("PUT", False), ("GET", False)}:
            return self._app(environ, start_response)
        body = read_body(environ)
        asked = json.loads(body) if body else {}
        key = (_region(environ), found[1], found[2] or str(asked.get("Name")))
        with self._lock:
            current = self._revisions.get(key)
            if method == "PUT" and current is not None and asked.get("RevisionId", current) != current:
                return error_answer(environ, 412, "PreconditionFailedException", STALE, start_response)
            status, headers, content = called(self._app, environ)
            if not status.startswith("2"):
                return answer(status, headers, content, start_response)
            if method != "GET" or current is None:
                self._revisions[key] = str(uuid.uuid4())
            told = json.loads(content) | {"RevisionId": self._revisions[key]}
        return answer(status, headers, json.dumps(told).encode(), start_response)


def _region(environ: Environ) -> str:
    found = _REGION.search(environ.get("HTTP_AUTHORIZATION", ""))
    return found[1] if found else ""
