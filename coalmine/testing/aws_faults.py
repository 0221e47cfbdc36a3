"""A WSGI layer before a fake of AWS that lets tests make calls fail: refused, throttled, or answered otherwise.

``POST /coalmine/faults`` takes one ``AwsFault`` as JSON; ``DELETE`` there forgets them all.
"""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import requests

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
PATH = "/coalmine/faults"


@dataclass
class AwsFault:
    """What happens to the next ``times`` requests that match."""

    match: str
    """A regular expression, searched in ``METHOD path?query``, the header X-Amz-Target and the body, one a line."""
    code: str = ""
    """AWS' word for the error, such as ``Throttling``; empty: the answer is only changed, by ``merge`` and ``swap``."""
    status: int = 400
    times: int = 1
    """-1: from now on."""
    arrives: bool = False
    """The call is made before its answer is lost."""
    merge: dict[str, Any] = field(default_factory=dict)
    """Put over the keys of a JSON answer."""
    swap: tuple[str, str] = ("", "")
    """A text of the answer, and what stands in its place."""


def add_fault(url: str, fault: AwsFault) -> None:
    """Tell the server at ``url`` of a fault."""
    requests.post(url + PATH, json=asdict(fault), timeout=10).raise_for_status()


def clear_faults(url: str) -> None:
    """Let every call through again."""
    requests.delete(url + PATH, timeout=10).raise_for_status()


class Faults:
    """The layer."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._faults: list[AwsFault] = []
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        body = read_body(environ)
        if environ.get("PATH_INFO") == PATH:
            return self._told(environ, body, start_response)
        fault = self._next(request_text(environ, body))
        if fault is None:
            return self._app(environ, start_response)
        if fault.code:
            if fault.arrives:
                called(self._app, environ)
            return error_answer(environ, fault.status, fault.code, "asked for by a test", start_response)
        status, headers, content = called(self._app, environ)
        if fault.merge:
            content = json.dumps(json.loads(content) | fault.merge).encode()
        if fault.swap[0]:
            content = content.replace(fault.swap[0].encode(), fault.swap[1].encode())
        return answer(status, headers, content, start_response)

    def _told(self, environ: Environ, body: bytes, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            if environ["REQUEST_METHOD"] == "DELETE":
                self._faults.clear()
            else:
                self._faults.append(AwsFault(**json.loads(body)))
        return answer("200 OK", [("Content-Type", "application/json")], b"{}", start_response)

    def _next(self, text: str) -> AwsFault | None:
        with self._lock:
            for fault in self._faults:
                if fault.times and re.search(fault.match, text):
                    fault.times -= 1
                    return fault
        return None


def read_body(environ: Environ) -> bytes:
    """The request's body, which the next layer can read again."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def request_text(environ: Environ, body: bytes) -> str:
    """What ``AwsFault.match`` is searched in."""
    line = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}"
    return "\n".join((line, environ.get("HTTP_X_AMZ_TARGET", ""), body.decode("utf-8", "replace")))


def called(app: App, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status, headers and body of what the next layer answers."""
    told: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        told[:] = [status, headers]
        return lambda _: None

    content = b"".join(app(environ, start))
    return told[0], told[1], content


def answer(status: str, headers: list[tuple[str, str]], body: bytes, start_response: StartResponse) -> Iterable[bytes]:
    """An answer of this body, whatever length the headers said."""
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    start_response(status, [*kept, ("Content-Length", str(len(body)))])
    return [body]


def error_answer(
    environ: Environ, status: int, code: str, message: str, start_response: StartResponse
) -> Iterable[bytes]:
    """An error as the protocol of this request tells it: XML where calls are forms or XML, else JSON."""
    line = f"{status} {'Error' if status >= 500 else 'Bad Request'}"
    if "x-www-form-urlencoded" in environ.get("CONTENT_TYPE", "") or environ["PATH_INFO"].startswith("/2013-04-01/"):
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        body = f"<ErrorResponse>{error}<RequestId>test</RequestId></ErrorResponse>".encode()
        return answer(line, [("Content-Type", "text/xml")], body, start_response)
    told = {"__type": code, "message": message, "Type": "User"}
    named = [("x-amzn-ErrorType", code), ("x-amzn-query-error", f"{code};Sender")]
    return answer(line, [("Content-Type", "application/json"), *named], json.dumps(told).encode(), start_response)
