"""Keys by URL: a JWKS fetched over https, kept for a minute, and for an hour at most while it cannot be had."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from activities.posting import AGENT, where
from coalmine.errors import InputError
from coalmine.identity.keys import VerifyingKey

FRESH = 60.0
"""Seconds a set counts unasked: how long a key that was taken away may go on."""
UNKNOWN_EVERY = 60.0
"""Seconds between fetches that only an unknown ``kid`` asks for: tokens of strangers are no lever on the key server."""
PAUSE = 10.0
"""Seconds without another try after a fetch that failed."""
STALE_AT_MOST = 3600.0
"""Seconds the last good set counts while a newer one cannot be had."""
FETCH_WITHIN = 5.0
"""Seconds for the whole exchange."""
LARGEST_SET = 1_000_000
"""Bytes."""

Keys = Mapping[str, VerifyingKey]


@dataclass
class _Kept:
    """The last good set of one URL, and when it was asked for. Times are of the monotonic clock."""

    keys: Keys | None = None
    had_at: float = float("-inf")
    failed_at: float = float("-inf")
    asked_for_unknown_at: float = float("-inf")
    trouble: str = ""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeySets:
    """Sets of keys by URL. One fetch at a time for each; what it finds serves everyone who waits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, within: float = FETCH_WITHIN) -> None:
        self._clock = clock
        self._within = within
        self._kept: dict[tuple[str, str], _Kept] = {}

    async def keys(self, url: str, kid: str | None, read: Callable[[str, str], Keys], name: str) -> Keys:
        """The keys at a URL.

        Args:
            url: https; http to this machine only.
            kid: The key that is looked for: asked for anew when it is not among those that are kept.
            read: (text, origin) -> keys; raises InputError.
            name: The setting that holds the URL, for messages.

        Raises:
            InputError: the URL is not allowed, or there is no set that may count; says why.
        """
        if problem := url_problem(url):
            raise InputError(f"{name}: {problem}")
        origin = f"{name}: {where(url)}"
        kept = self._kept.setdefault((name, url), _Kept())
        async with kept.lock:
            if self._is_due(kept, kid):
                await self._refresh(kept, url, read, origin)
            age = self._clock() - kept.had_at
            if kept.keys is None:
                raise InputError(f"{origin}: no keys could be had: {kept.trouble}")
            if age > STALE_AT_MOST:
                raise InputError(f"{origin}: the last keys are older than an hour: {kept.trouble}")
            return kept.keys

    def _is_due(self, kept: _Kept, kid: str | None) -> bool:
        now = self._clock()
        if now - kept.failed_at < PAUSE:
            return False
        if kept.keys is None or now - kept.had_at >= FRESH:
            return True
        if kid is None or kid in kept.keys or now - kept.asked_for_unknown_at < UNKNOWN_EVERY:
            return False
        kept.asked_for_unknown_at = now
        return True

    async def _refresh(self, kept: _Kept, url: str, read: Callable[[str, str], Keys], origin: str) -> None:
        # Its age counts from before the question: an answer on its way may be old already.
        asked = self._clock()
        try:
            kept.keys = read(await self._fetch(url), origin)
        except (InputError, _Unavailable) as error:
            kept.failed_at, kept.trouble = self._clock(), str(error).removeprefix(f"{origin}: ")
            return
        kept.had_at, kept.failed_at, kept.trouble = asked, float("-inf"), ""

    async def _fetch(self, url: str) -> str:
        secure = urlsplit(url).scheme == "https"
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=self._within),
                    # A proxy sees through http: over it, only the machine itself is asked.
                    trust_env=secure,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    # Packed, a small answer could become a large one.
                    auto_decompress=False,
                    headers={"User-Agent": AGENT, "Accept": "application/json", "Accept-Encoding": "identity"},
                ) as session,
                session.get(url, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise _Unavailable(_status(response.status))
                raw = b""
                async for chunk in response.content.iter_chunked(65_536):
                    raw += chunk
                    if len(raw) > LARGEST_SET:
                        raise _Unavailable(f"it has more than {LARGEST_SET:,} bytes")
                return raw.decode()
        except UnicodeDecodeError:
            raise _Unavailable("it is no text") from None
        except TimeoutError:
            raise _Unavailable(f"it did not answer within {self._within:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, _Unavailable):
                raise
            raise _Unavailable(f"it did not answer ({type(error).__name__})") from None


class _Unavailable(ValueError):
    """There was no set to be had; says why."""


def url_problem(url: str) -> str | None:
    """Why keys may not be taken from this URL, None when they may: whoever can change them on the way is everyone."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is no URL: write https:// and a host"
    if not host or parts.scheme not in ("https", "http"):
        return "it is no URL: write https:// and a host"
    if parts.scheme == "http" and not _is_loopback(host):
        return f"{where(url)} is http, and anyone on the way could put their key there: write https"
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _status(status: int) -> str:
    if 300 <= status < 400:
        return f"it answers with a redirect (HTTP {status}), which is not followed: write where the keys are"
    return f"it answers HTTP {status}"
