"""Calls of Slack's Web API, with what came of them as errors that say whether to try again."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from coalmine.errors import CoalmineError

WITHIN = 10.0
"""Seconds one call may take."""
API = "https://slack.com/api/"
OURS = frozenset({"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission"})
"""Errors that say nothing of the message: somebody has to mend the app, and nothing is lost until then."""
PASSING = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"})
OF_CHANNEL = {
    "not_in_channel": "invite the app to that channel, or name another one",
    "channel_not_found": "write the id of a channel that is there; to a private one, the app must be invited",
    "is_archived": "that channel is archived: name another one",
}
"""Errors that say nothing of the message but of its channel, with what mends it."""
MOST_PAUSE = 3_600.0
RESPONSE = "response_url"
"""Stands for answers at any of them, beside the methods."""


class SlackBusy(CoalmineError):
    """Raised when Slack asks for a pause; ``seconds`` of it."""

    retryable = True

    def __init__(self, method: str, seconds: float) -> None:
        super().__init__(f"Slack limits {method}: again in {math.ceil(seconds)} s")
        self.seconds = seconds


class SlackAway(CoalmineError):
    """Raised when Slack did not answer, or failed, or does not let us in: it may have taken what was sent."""

    retryable = True


class SlackRefused(CoalmineError):
    """Raised when Slack will never take this; ``code`` is its own word for why."""

    def __init__(self, method: str, code: str, details: str = "") -> None:
        super().__init__(f"Slack refused {method}: {code}{f' ({details})' if details else ''}")
        self.code = code

    @property
    def mend(self) -> str:
        """What people do about its channel; empty where Slack refused the message itself."""
        return OF_CHANNEL.get(self.code, "")


class Slack:
    """One workspace.

    A pause that Slack asks for is of the method, whoever calls it: until it is over, others are told so without a call.
    After it they go one by one until one has come through: all at once would be refused again.
    """

    def __init__(self, token: str, base_url: str = API, second: float = 1.0) -> None:
        """``second``: how long one of a pause's seconds lasts."""
        # No retry handlers of the SDK: they would sleep with the call in hand, where the outbox sends the newest state.
        self.client = AsyncWebClient(token=token, base_url=base_url, timeout=int(WITHIN), retry_handlers=[])
        self._session: aiohttp.ClientSession | None = None
        self._second = second
        self._paused: dict[str, float] = {}
        """By method, when its pause ends; here until a call has come through."""
        self._turns: dict[str, asyncio.Lock] = {}

    async def call(self, method: str, **args: Any) -> dict[str, Any]:
        """Call a method with JSON.

        Raises:
            SlackBusy: 429, now or before, with the seconds that are left.
            SlackAway: no answer, 5xx, or our token is not taken.
            SlackRefused: anything else.
        """
        async with self._turn(method):
            return await self._call(method, args)

    async def _call(self, method: str, args: dict[str, Any]) -> dict[str, Any]:
        given = {key: value for key, value in args.items() if value is not None}
        # What reads takes its arguments as a form only.
        reads = method.split(".")[-1] in ("info", "history", "list", "lookupByEmail")
        how = {"params": given} if reads else {"json": given}
        try:
            async with asyncio.timeout(WITHIN + 1):
                answer = await self.client.api_call(method, **how)  # type: ignore[arg-type]
        except SlackApiError as error:
            raise self._noted(method, _meaning(method, error.response)) from None
        except (TimeoutError, aiohttp.ClientError, SlackClientError, OSError, ValueError) as error:
            raise SlackAway(f"Slack did not answer {method}: {type(error).__name__} {error}".strip()) from None
        return dict(answer.data) if isinstance(answer.data, dict) else {}

    async def respond(self, url: str, text: str) -> None:
        """Answer at a ``response_url``, to one person.

        Raises:
            SlackAway, SlackBusy, SlackRefused: as ``call``.
        """
        async with self._turn(RESPONSE):
            await self._respond(url, text)

    async def _respond(self, url: str, text: str) -> None:
        body = {"response_type": "ephemeral", "replace_original": False, "text": text}
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN))
        try:
            async with self._session.post(url, json=body) as answer:
                if answer.status == 429:
                    raise self._noted(RESPONSE, SlackBusy(RESPONSE, _pause(answer.headers.get("Retry-After"))))
                if answer.status >= 500:
                    raise SlackAway(f"Slack answered a response_url with {answer.status}")
                if answer.status >= 400:
                    raise SlackRefused(RESPONSE, (await answer.text())[:80] or str(answer.status))
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise SlackAway(f"Slack did not take an answer: {type(error).__name__}") from None

    @asynccontextmanager
    async def _turn(self, method: str) -> AsyncIterator[None]:
        if method not in self._paused:
            yield
            return
        async with self._turns.setdefault(method, asyncio.Lock()):
            self._check_pause(method)
            known = self._paused.get(method)
            yield
            # Another that was under way may have been told of a new one meanwhile.
            if self._paused.get(method) == known:
                self._paused.pop(method, None)

    def _check_pause(self, method: str) -> None:
        left = self._paused.get(method, 0.0) - asyncio.get_running_loop().time()
        if left > 0:
            raise SlackBusy(method, left / self._second)

    def _noted(self, method: str, error: CoalmineError) -> CoalmineError:
        if isinstance(error, SlackBusy):
            until = asyncio.get_running_loop().time() + error.seconds * self._second
            self._paused[method] = max(until, self._paused.get(method, 0.0))
        return error

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()


def _meaning(method: str, answer: Any) -> CoalmineError:
    status = int(getattr(answer, "status_code", 0) or getattr(answer, "status", 0) or 0)
    headers = getattr(answer, "headers", {}) or {}
    data = getattr(answer, "data", None)
    code = str(data.get("error") or "") if isinstance(data, dict) else ""
    if status == 429 or code in ("ratelimited", "rate_limited"):
        after = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
        return SlackBusy(method, _pause(after))
    if status >= 500 or not code or code in PASSING or code in OURS:
        return SlackAway(f"Slack failed {method}: {code or status}")
    details = data.get("response_metadata") if isinstance(data, dict) else None
    told = "; ".join(str(one) for one in details.get("messages", [])[:3]) if isinstance(details, dict) else ""
    needed = str(data.get("needed") or "") if isinstance(data, dict) else ""
    return SlackRefused(method, code, told or (f"needs the scope {needed}" if needed else ""))


def _pause(after: Any) -> float:
    try:
        seconds = float(after)
    except (TypeError, ValueError):
        return 1.0
    return 1.0 if math.isnan(seconds) else min(max(seconds, 0.0), MOST_PAUSE)
