"""Where requests may come from: names this server is called by, and pages that may send it something."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from coalmine.dashboard.problems import problem_response

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEALTH = "/healthz"
"""Asked by load balancers, which call us by an address."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Place:
    """Where the dashboard is, as browsers see it."""

    url: str
    """Scheme, host and port, without a slash at the end."""

    @property
    def host(self) -> str:
        """The name alone."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_loopback(self) -> bool:
        """Nobody else can listen on the way."""
        return self.host in LOOPBACK

    @property
    def secure(self) -> bool:
        """Cookies are for https alone."""
        return urlsplit(self.url).scheme == "https" or not self.is_loopback


class PlaceCheck:
    """Refuses other names (DNS rebinding) and what pages of other origins send (CSRF), before anything is looked at."""

    def __init__(self, app: ASGIApp, place: Place) -> None:
        self._app = app
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass it on."""
        reason = self._refused(scope) if scope["type"] == "http" else None
        if reason is None:
            await self._app(scope, receive, send)
            return
        await problem_response(403, "Not from here", reason)(scope, receive, send)

    def _refused(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if scope["path"] == HEALTH:
            return None
        name = _name(headers.get("host", ""))
        if name != self._place.host and not (self._place.is_loopback and name in LOOPBACK):
            return f"no such host here: {name!r:.100}; this is {self._place.url} (--public-url)"
        if scope["method"] in SAFE:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin != self._place.url and not self._same_machine(origin, headers):
            return f"pages of {origin!r:.100} may not send anything here"
        if origin is None and site not in (None, "same-origin", "none"):
            return "pages of other sites may not send anything here"
        return None

    def _same_machine(self, origin: str, headers: Headers) -> bool:
        """On loopback a browser may have called us by another of its names; the origin is then the host it called."""
        return self._place.is_loopback and origin == f"http://{headers.get('host', '')}"


def _name(host: str) -> str:
    """The name in a ``Host`` header; empty when it is none, such as ``[``."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
