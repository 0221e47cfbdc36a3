"""The deployments of GitHub's and GitLab's REST APIs over HTTP on this machine, with their limits and their refusals.

It knows what Coalmine asks: the statuses of a GitHub deployment (list, create) and a GitLab deployment (get, update).
On request it fails as they do: rate limits, a server's trouble, an answer that is lost after the write was made.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from coalmine.testing.threaded_server import KeptAlive, ThreadedServer

GITHUB_STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
GITLAB_STATUSES = ("running", "success", "failed", "canceled")
LONGEST_DESCRIPTION = 140
_GITHUB = re.compile(r"/repos/([^/]+/[^/]+)/deployments/(\d+)/statuses")
_GITLAB = re.compile(r"/projects/([^/]+)/deployments/(\d+)")


@dataclass(frozen=True)
class FakeTrouble:
    """An answer in place of the regular one; ``after_write``: the write is made, and only its answer is lost."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    after_write: bool = False


class FakeDeployments(ThreadedServer):
    """``with FakeDeployments(token="...") as api: api.add("acme/shop", 7)`` and ask ``api.url``."""

    def __init__(self, token: str) -> None:
        """``token``: the only one that is let in, as ``Authorization: Bearer`` or ``PRIVATE-TOKEN``."""
        self.statuses: dict[tuple[str, int], list[dict[str, Any]]] = {}
        """Of each deployment, the newest last; those of GitLab have ``state`` only."""
        self.troubles: list[FakeTrouble] = []
        """Each is the answer to one of the next requests that write."""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path, headers."""
        self._token = token
        self._lock = threading.Lock()
        super().__init__(self._handler())

    def add(self, repository: str, deployment: int) -> list[dict[str, Any]]:
        """A deployment without a status; returns where they will stand."""
        return self.statuses.setdefault((repository, deployment), [])

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, JSON body and headers of one request."""
        given = {name.lower(): value for name, value in headers.items()}
        if self._token not in (given.get("authorization", "").removeprefix("Bearer "), given.get("private-token")):
            return 401, {"message": "Bad credentials"}, {}
        parts = urlsplit(target)
        for pattern, handle in ((_GITHUB, self._github), (_GITLAB, self._gitlab)):
            match = pattern.fullmatch(parts.path)
            known = self.statuses.get((unquote(match[1]), int(match[2]))) if match else None
            if match is not None and known is not None:
                trouble = self.troubles.pop(0) if method != "GET" and self.troubles else None
                if trouble is not None and not trouble.after_write:
                    return trouble.status, dict(trouble.body), trouble.headers
                found = handle(method, known, parse_qs(parts.query), body)
                return found if trouble is None else (trouble.status, dict(trouble.body), trouble.headers)
        return 404, {"message": "Not Found"}, {}

    def _github(
        self, method: str, known: list[dict[str, Any]], query: Mapping[str, list[str]], body: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        if method == "GET":
            return 200, known[::-1][: int(query.get("per_page", ["30"])[0])], {}
        if method != "POST":
            return 404, {"message": "Not Found"}, {}
        if body.get("state") not in GITHUB_STATES:
            return 422, {"message": f"Validation Failed: state {body.get('state')!r}"}, {}
        if len(body.get("description", "")) > LONGEST_DESCRIPTION:
            return 422, {"message": "Validation Failed: description is too long (maximum is 140 characters)"}, {}
        known.append({"id": len(known) + 1, "description": "", "log_url": "", "environment_url": "", **body})
        return 201, known[-1], {}

    def _gitlab(
        self, method: str, known: list[dict[str, Any]], query: Mapping[str, list[str]], body: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        now = known[-1]["state"] if known else "created"
        if method == "PUT":
            wanted = body.get("status")
            if wanted not in GITLAB_STATUSES:
                return 400, {"error": "status does not have a valid value"}, {}
            if wanted == now or (wanted == "running" and now != "created"):
                return 400, {"message": {"status": [f"cannot transition from {now} to {wanted}"]}}, {}
            known.append({"state": wanted})
            now = wanted
        elif method != "GET":
            return 405, {"error": "405 Not Allowed"}, {}
        return 200, {"status": now}, {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(KeptAlive, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def do_PUT(self) -> None:
                self._serve()

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                headers = dict(self.headers.items())
                with fake._lock:
                    fake.requests.append((self.command, self.path, headers))
                    status, answer, more = fake.answer(self.command, self.path, headers, body)
                written = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **more}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(written)))
                self.end_headers()
                self.wfile.write(written)

        return Handler
