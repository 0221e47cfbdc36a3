"""The chat app: Slack's requests are acknowledged at once, and done after that, whatever Temporal does.

Slack waits three seconds for an answer. So nothing is asked of anybody before it: a request is checked (signature,
workspace, whether it came before), acknowledged, and handed to ``coalmine.chat.desk``.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.signature import SignatureVerifier

from coalmine.chat.board import Wall
from coalmine.chat.buttons import ACTION
from coalmine.chat.daily import Daily
from coalmine.chat.desk import Desk
from coalmine.chat.directory import Directory
from coalmine.chat.follow import Follower
from coalmine.chat.grammar import COMMAND
from coalmine.chat.memory import Memory
from coalmine.chat.mentions import Mentions
from coalmine.chat.once import Once
from coalmine.chat.outbox import Outbox, Pace
from coalmine.chat.reach import Reach
from coalmine.chat.settings import ChatSettings
from coalmine.chat.web import API, Slack, SlackAway, SlackBusy
from coalmine.errors import InputError
from coalmine.records import Verb

PATH = "/slack/events"
"""Where Slack sends commands and clicks to."""
LARGEST_REQUEST = 1_000_000
KEPT = 900.0
"""Seconds a request is remembered: three times as long as its signature counts."""
AT_WORK = 500
"""Requests that are worked on at once; more are turned away, and told so."""
BUSY = "the chat app is busy with too many requests: nothing was done; try again in a minute"
_UNUSED = "unused in socket mode, where the socket is the proof"
_log = logging.getLogger("coalmine.chat")


@dataclass(frozen=True)
class Secrets:
    """What Slack gave the app. ``app_token`` is for socket mode alone, ``signing_secret`` for HTTP alone."""

    bot_token: str = field(repr=False)
    signing_secret: str = field(default="", repr=False)
    app_token: str = field(default="", repr=False)


class ChatApp:
    """One workspace's chat app: ``begin``, then ``serve_http`` or ``serve_socket``, then ``end``."""

    def __init__(
        self,
        settings: ChatSettings,
        secrets: Secrets,
        reach: Reach,
        state: Path,
        *,
        key: Mapping[str, Any] | None = None,
        api: str = API,
        pace: Pace | None = None,
        every: float = 5.0,
        refresh: float = 15.0,
    ) -> None:
        """``api`` and ``pace`` are Slack's own unless a test says otherwise; ``every`` and ``refresh`` are seconds.

        Raises:
            InputError: the file ``state`` cannot be used.
        """
        self.settings = settings
        self.reach = reach
        self.memory = Memory(state)
        self.outbox = Outbox(pace)
        self.slack = Slack(secrets.bot_token, api, self.outbox.pace.second)
        self._mentions = Mentions(settings, self.slack)
        wall = Wall(self.slack, self.outbox, self.memory, self._mentions)
        self.follower = Follower(settings, reach, wall, every=every, refresh=refresh)
        self.daily: Daily | None = None
        if settings.digest is not None:
            self.daily = Daily(settings.digest, reach, self.follower, self.memory, self.outbox, self.slack)
        self.team = ""
        self._secrets = secrets
        self._key = key
        self._desk: Desk | None = None
        self._taken = Once(KEPT)
        self._tasks: set[asyncio.Task[None]] = set()
        self._standing: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None
        self._socket: Any = None
        self._verifier = SignatureVerifier(secrets.signing_secret or _UNUSED)
        self._bolt = self._listening()

    # ---------------------------------------------------------------------------------------- begin and end

    async def begin(self) -> None:
        """Ask Slack who we are, take up what earlier processes left, and begin to follow.

        Raises:
            InputError: the token is not taken; says which.
        """
        wait = 1.0
        while True:
            try:
                who = await self.slack.call("auth.test")
                break
            except (SlackAway, SlackBusy) as error:
                if "invalid_auth" in str(error) or "not_authed" in str(error) or "token_" in str(error):
                    raise InputError(
                        f"SLACK_BOT_TOKEN: Slack does not take it ({error}): install the app anew"
                    ) from None
                _log.warning("%s; again in %g s", error, wait)
                await asyncio.sleep(wait * self.outbox.pace.second)
                wait = min(wait * 2, 60.0)
        self.team = self._mentions.team = str(who.get("team_id") or "")
        self._who = AuthorizeResult(
            enterprise_id=who.get("enterprise_id"), team_id=self.team, bot_token=self._secrets.bot_token,
            bot_id=who.get("bot_id"), bot_user_id=who.get("user_id"),
        )  # fmt: skip
        directory = Directory(self.settings, self.slack, self.team)
        self._desk = Desk(self.slack, self.reach, directory, self.follower, self._key, self.outbox.pace.second)
        self.follower.load()
        self._standing = [asyncio.create_task(self.follower.run())]
        if self.daily is not None:
            self.daily.begin(datetime.now(UTC))
            self._standing.append(asyncio.create_task(self.daily.keep()))

    async def serve_http(self, host: str, port: int) -> str:
        """Take requests there; the address, with the port that was found where 0 was asked for.

        Raises:
            InputError: the address cannot be listened on.
        """
        site = web.Application(client_max_size=LARGEST_REQUEST)
        site.add_routes([web.post(PATH, self._take), web.get("/healthz", self._health)])
        self._runner = web.AppRunner(site, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            raise InputError(f"--listen: {host}:{port} cannot be listened on: {error.strerror or error}") from None
        found = self._runner.addresses[0]
        return f"http://{host}:{found[1]}"

    async def serve_socket(self) -> None:
        """Take requests over a web socket that we open: nothing of ours has to be reached from outside."""
        from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler

        self._socket = AsyncSocketModeHandler(self._bolt, self._secrets.app_token, web_client=self.slack.client)
        await self._socket.connect_async()

    async def end(self, within: float = 10.0) -> None:
        """Take nothing new, finish what was acknowledged, and let go."""
        if self._socket is not None:
            await self._socket.close_async()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=within)
        left = [*self._tasks, *self._standing]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.outbox.close()
        await self._mentions.close()
        await self.slack.close()
        self.memory.close()

    # ---------------------------------------------------------------------------------------- requests

    async def _take(self, request: web.Request) -> web.Response:
        """One request of Slack, as it came over HTTP."""
        stamp = request.headers.get("X-Slack-Request-Timestamp", "")
        signed, body = request.headers.get("X-Slack-Signature", ""), await request.read()
        # Bolt checks the signature too, but reads the body before that, and fails on a stamp that is no number.
        whole = stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and signed.isascii()
        try:
            if not whole or not self._verifier.is_valid(body, stamp, signed):
                return web.json_response({"error": "invalid request"}, status=401)
            asked = await to_bolt_request(request)
        except (UnicodeDecodeError, ValueError, TypeError, AttributeError, KeyError):
            return web.json_response({"error": "not a request of Slack"}, status=400)
        return await to_aiohttp_response(await self._bolt.async_dispatch(asked))

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"waiting": self.outbox.waiting, "slack_failures": self.outbox.failures})

    def _listening(self) -> AsyncApp:
        async def authorize(team_id: str | None) -> AuthorizeResult | None:
            # None for another workspace: an app's signing secret is the same in each workspace it is in.
            return self._who if team_id == self.team else None

        bolt = AsyncApp(
            name="coalmine",
            logger=logging.getLogger("coalmine.chat.bolt"),
            signing_secret=self._secrets.signing_secret or _UNUSED,
            authorize=authorize,  # type: ignore[arg-type]  # None is how it says no
            user_facing_authorize_error_message="this app belongs to another workspace: nothing was done",
        )
        bolt.command(COMMAND)(self._command)
        # Of any verb: whoever presses a button that another version of the app drew is told so.
        bolt.action(re.compile(f"^{ACTION}"))(self._action)
        bolt.view(re.compile(f"^{ACTION}"))(self._view)
        return bolt

    async def _command(self, ack: Any, body: dict[str, Any]) -> None:
        if self._full():
            await ack(text=BUSY)
            return
        await ack()
        if desk := self._new(f"command {body.get('trigger_id')}"):
            self._begin(desk.command(body))

    async def _action(self, ack: Any, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        if (desk := self._new(f"action {body.get('trigger_id')}")) is None:
            return
        if self._full():
            # What acknowledges a click carries no text: whoever clicked is told beside it.
            await desk.turn_away(body, BUSY)
            return
        self._begin(desk.click(body, action))

    async def _view(self, ack: Any, body: dict[str, Any]) -> None:
        view = body.get("view") or {}
        reason = _reason(view)
        if str(view.get("callback_id")) == f"{ACTION}{Verb.PROMOTE}" and not reason:
            said = "promote overrides steps, gates and the proof of no harm: say why"
            await ack(response_action="errors", errors={"reason": said})
            return
        if self._full():
            await ack(response_action="errors", errors={"reason": BUSY})
            return
        await ack()
        if desk := self._new(f"view {view.get('id')}"):
            self._begin(desk.submit(body, reason))

    def _new(self, key: str) -> Desk | None:
        """Whoever works on it; None when it came before: Slack sends again what it thinks was not heard."""
        return self._desk if self._taken.first(key) else None

    def _full(self) -> bool:
        if full := len(self._tasks) >= AT_WORK:
            _log.error("%d requests are worked on already: one more was turned away", AT_WORK)
        return full

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---------------------------------------------------------------------------------------- digest

    async def send_digest(self, now: datetime) -> bool:
        """Send the digest of the day, when its time has come and it was not sent yet; whether it was.

        Raises:
            CoalmineError: Slack or Temporal do not answer, or Slack refuses it: it is tried again.
        """
        return self.daily is not None and await self.daily.send(now)


def _reason(view: Mapping[str, Any]) -> str:
    values = (view.get("state") or {}).get("values") or {}
    return str(((values.get("reason") or {}).get("text") or {}).get("value") or "").strip()
