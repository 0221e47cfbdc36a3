"""Sessions in a signed cookie, so that any of several servers may answer.

A server keeps only what was signed out at it, until the cookie would be too old anyway: a copy counts no more there.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

LIFETIME = 8 * 3600
"""Seconds a login counts: a working day."""
LOGIN_WITHIN = 600
"""Seconds a person may take at the identity provider."""
SECRET_VARIABLE = "COALMINE_DASHBOARD_SECRET"
SHORTEST_SECRET = 32


@dataclass(frozen=True)
class Session:
    """One browser's: ``sid`` is drawn anew at every login, and the CSRF token belongs to it."""

    sid: str
    person: str = ""
    groups: tuple[str, ...] = ()


class Sessions:
    """Reads and writes the cookies of this server."""

    def __init__(self, secret: str, secure: bool) -> None:
        """``secure``: the cookies are for https alone."""
        self.secure = secure
        self.name = "__Host-coalmine" if secure else "coalmine-session"
        self._secret = secret.encode()
        self._ended: dict[str, float] = {}
        self._followed: dict[str, set[asyncio.Event]] = {}
        self._sealed = {
            purpose: URLSafeTimedSerializer(
                secret, salt=f"coalmine-dashboard-{purpose}", signer_kwargs={"digest_method": hashlib.sha256}
            )
            for purpose in ("session", "login", "said", "once")
        }

    def of(self, request: Request) -> Session | None:
        """The session of a request; None when there is none that counts."""
        found = self.unseal("session", request.cookies.get(self.name, ""), LIFETIME)
        if not isinstance(found, dict) or not isinstance(found.get("sid"), str):
            return None
        if found["sid"] in self._ended:
            return None
        return Session(found["sid"], str(found.get("person", "")), tuple(map(str, found.get("groups", ()))))

    def begin(self, person: str = "", groups: tuple[str, ...] = ()) -> Session:
        """A new one."""
        return Session(secrets.token_urlsafe(18), person, groups)

    def put(self, response: Response, session: Session) -> None:
        """Set the cookie."""
        self._cookie(response, self.name, self.seal("session", asdict(session)), LIFETIME)

    def end(self, request: Request, response: Response) -> None:
        """Take the cookie away, and let no copy of it count at this server."""
        now = time.monotonic()
        self._ended = {sid: until for sid, until in self._ended.items() if until > now}
        if (session := self.of(request)) is not None:
            self._ended[session.sid] = now + LIFETIME
            for over in self._followed.get(session.sid, ()):
                over.set()
        response.delete_cookie(self.name, path="/", secure=self.secure, httponly=True, samesite="lax")

    @contextmanager
    def following(self, request: Request) -> Iterator[tuple[asyncio.Event, float]]:
        """For whoever goes on answering a request: set when its login is signed out here, and the seconds it has left.

        Where nobody logged in by this cookie, it is never set, and there is no end.
        """
        over, left = asyncio.Event(), float("inf")
        try:
            found, sealed = self._sealed["session"].loads(request.cookies.get(self.name, ""), return_timestamp=True)
        except BadData:
            found = None
        if not isinstance(found, dict) or not found.get("person"):
            yield over, left
            return
        sid, left = str(found.get("sid")), float(sealed.timestamp()) + LIFETIME - time.time()
        if sid in self._ended:
            over.set()  # Between the question who asks and this one.
        self._followed.setdefault(sid, set()).add(over)
        try:
            yield over, left
        finally:
            self._followed[sid].discard(over)
            if not self._followed[sid]:
                del self._followed[sid]

    def put_login(self, response: Response, flow: dict[str, str]) -> None:
        """What a login that is under way has to find again."""
        self._cookie(response, f"{self.name}-login", self.seal("login", flow), LOGIN_WITHIN)

    def take_login(self, request: Request) -> dict[str, str]:
        """What a login put down; empty when it is too old, or was begun elsewhere."""
        found = self.unseal("login", request.cookies.get(f"{self.name}-login", ""), LOGIN_WITHIN)
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

    def end_login(self, response: Response) -> None:
        """Take it away: it counts once."""
        response.delete_cookie(f"{self.name}-login", path="/", secure=self.secure, httponly=True, samesite="lax")

    def seal(self, purpose: str, value: Any) -> str:
        """Text that only this server can have written."""
        return str(self._sealed[purpose].dumps(value))

    def unseal(self, purpose: str, text: str, within: int) -> Any:
        """What was sealed for this purpose, at most so many seconds ago; None for anything else."""
        try:
            return self._sealed[purpose].loads(text, max_age=within) if text else None
        except BadData:
            return None

    def token(self, session: Session, person: str) -> str:
        """The CSRF token of a session and of who acts in it."""
        said = f"{session.sid}\0{person}\0{int(time.time() // LIFETIME)}"
        return hmac.new(self._secret, said.encode(), hashlib.sha256).hexdigest()

    def token_holds(self, given: str, session: Session, person: str) -> bool:
        """Whether a form's token is that of this session, of this stretch of time or the one before."""
        now = int(time.time() // LIFETIME)
        return any(
            hmac.compare_digest(
                given.encode("utf-8", "replace"),
                hmac.new(self._secret, f"{session.sid}\0{person}\0{at}".encode(), hashlib.sha256).hexdigest().encode(),
            )
            for at in (now, now - 1)
        )

    def _cookie(self, response: Response, name: str, value: str, lifetime: int) -> None:
        response.set_cookie(name, value, max_age=lifetime, path="/", secure=self.secure, httponly=True, samesite="lax")
