"""Posting JSON to somebody else's endpoint: an idempotency key, a bound on everything, and a plain answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from activities.bodies import read_up_to
from activities.secrets import filled
from coalmine.errors import HookRefused, HookUnreachable
from coalmine.redaction import redactor

CONNECT_WITHIN = 5.0
"""Seconds for name, connection and TLS."""
LONGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read."""
LONGEST_PAUSE = timedelta(minutes=5)
"""The longest ``Retry-After`` that is obeyed as it stands."""
AGENT = "coalmine"


@dataclass(frozen=True)
class Answer:
    """What the endpoint said. ``retry_after`` is its own wish for when to come back."""

    status: int
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: timedelta | None = None

    def data(self) -> dict[str, Any]:
        """The body, when it is a JSON object, without secrets it may repeat; else nothing."""
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return redactor.anything(found) if isinstance(found, dict) else {}

    def anything(self) -> Any:
        """The body, when it is JSON of any form, without secrets it may repeat; else None."""
        try:
            return redactor.anything(json.loads(self.text))
        except (ValueError, RecursionError):
            return None

    def said(self) -> str:
        """The status and the first words of the body, for messages."""
        reason = self.data().get("reason") or self.data().get("detail") or self.data().get("message") or self.text
        words = " ".join(redactor.text(str(reason)).split())[:200]
        return f"HTTP {self.status}: {words}" if words else f"HTTP {self.status}"


async def post_json(url: str, body: dict[str, Any], key: str, within: float) -> Answer:
    """Post once, with ``key`` as the header ``Idempotency-Key``: the same for every try; else as ``ask_json``."""
    return await ask_json("POST", url, body, within, {"Idempotency-Key": key} if key else {})


async def ask_json(
    method: str, url: str, body: dict[str, Any] | None, within: float, headers: Mapping[str, str] | None = None
) -> Answer:
    """Ask once. Redirects are not followed; proxies of the environment are used.

    Args:
        method: Such as ``POST``.
        url: Absolute http(s) URL, secrets by name. Its path and query may be secret, so messages name the host only.
        body: Sent as JSON, unless it is None.
        within: Seconds for the whole exchange.
        headers: Further ones, secrets by name.

    Raises:
        HookRefused: the URL is none.
        HookUnreachable: there was no answer.
        SecretMissing: a secret it names is not set here.
    """
    whole = filled(url)
    try:
        parts = urlsplit(whole)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HookRefused(f"{where(url)!r} is no http(s) URL: write it with scheme and host")
    sent = {"User-Agent": AGENT, **{name: filled(value) for name, value in (headers or {}).items()}}
    timeout = aiohttp.ClientTimeout(total=within, connect=CONNECT_WITHIN)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, whole, json=body, headers=sent, allow_redirects=False) as response,
        ):
            text = _text(await read_up_to(response.content, LONGEST_ANSWER), _charset(response))
            return Answer(response.status, text, dict(response.headers), _retry_after(response.headers))
    except TimeoutError:
        raise HookUnreachable(f"{where(url)} did not answer within {within:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The error's own text may hold the whole URL.
        what = getattr(error, "strerror", None) or type(error).__name__
        raise HookUnreachable(f"{where(url)} did not answer ({what})") from None


def where(url: str) -> str:
    """Scheme, host and port of a URL: what may be shown."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if host else url.partition("?")[0]


def come_back_later(answer: Answer) -> bool:
    """Whether the status says that the same request may succeed later."""
    return answer.status in (408, 425, 429) or answer.status >= 500


def _retry_after(headers: Any) -> timedelta | None:
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        pause = timedelta(seconds=int(value))
    except (ValueError, OverflowError):
        try:
            pause = parsedate_to_datetime(value) - datetime.now(UTC)
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(pause, timedelta(seconds=1)), LONGEST_PAUSE)


def _charset(response: aiohttp.ClientResponse) -> str | None:
    try:
        return response.charset
    except RecursionError:
        # The standard library reads comments within comments of a Content-Type one by one.
        return None


def _text(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):
        # An encoding nobody knows, or one of bytes to bytes.
        return body.decode("utf-8", "replace")
