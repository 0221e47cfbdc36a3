"""Slack's Web API over HTTP: tokens, scopes, rate limits and Block Kit limits are enforced as Slack documents them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from coalmine.testing.slack.limits import message_error, message_faults
from coalmine.testing.slack.methods import Methods
from coalmine.testing.slack.rates import POSTS_PER_MINUTE, RESPONSE, Rates
from coalmine.testing.slack.refusal import Refuse
from coalmine.testing.slack.socket import Socket
from coalmine.testing.slack.workspace import Told, Workspace

RESPONSES = 5
"""Uses of one ``response_url``."""
RESPONSE_LIFE = 1_800.0
_FORM_ONLY = frozenset({"users.info", "users.lookupByEmail", "usergroups.users.list", "conversations.history"})


@dataclass(frozen=True)
class Call:
    """One call that was let in, in order."""

    method: str
    args: Mapping[str, Any]
    at: float


@dataclass
class FakeSlack:
    """Serves on loopback, on the loop of whoever enters it. ``second``: how long one of Slack's seconds lasts here."""

    second: float = 1.0
    token: str = "xoxb-fake-token"
    app_token: str = "xapp-fake-token"
    signing_secret: str = "8f742231b10e8888abcd99yyyzzz85a5"
    workspace: Workspace = field(default_factory=Workspace)
    outage: str = ""
    """``500``: every call fails; ``cut``: every connection is cut; ``take``: posts are taken, and the answer is cut."""
    posts_per_minute: int = POSTS_PER_MINUTE
    """In the whole workspace."""
    hang: set[str] = field(default_factory=set)
    """Methods that do not answer until they are taken out."""
    calls: list[Call] = field(default_factory=list)
    limited: list[str] = field(default_factory=list)
    """Methods that were answered 429, in order."""
    faults: list[str] = field(default_factory=list)
    """What was refused for Block Kit's limits."""

    def __post_init__(self) -> None:
        self._rates = Rates(lambda: self.second, self.posts_per_minute)
        self.early = self._rates.early
        """Calls that came before the pause was over that a 429 had asked for: of an app that keeps to it, none."""
        self._methods = Methods(self.workspace, lambda: self.url, self.faults)
        self._socket = Socket()
        self._responses: dict[str, tuple[str, str, float, int]] = {}
        self.connected = self._socket.connected
        """A socket of the app is open."""

    async def __aenter__(self) -> FakeSlack:
        site = web.Application()
        site.add_routes([web.route("*", "/api/{method}", self._api), web.post("/respond/{id}", self._respond),
                         web.get("/socket", self._socket.serve)])  # fmt: skip
        self._runner = web.AppRunner(site, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang.clear()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @property
    def api(self) -> str:
        """The base of its Web API."""
        return f"{self.url}/api/"

    # --------------------------------------------------------------------------------------- for the tests

    def limit(self, method: str, seconds: int, times: int = 1) -> None:
        """Answer the next call of a method (``response_url``: the next answer at one) with 429, and every call that
        comes before ``seconds`` are over; ``times`` one after the other."""
        self._rates.force(method, seconds, times)

    def trigger(self) -> str:
        """A new ``trigger_id``: good for one dialog, for three seconds."""
        return self._methods.trigger()

    def response_url(self, user: str, channel: str) -> str:
        """A new ``response_url``."""
        name = str(len(self._responses) + 1)
        self._responses[name] = (user, channel, self._now(), 0)
        return f"{self.url}/respond/{name}"

    def count(self, method: str) -> int:
        """How many calls of a method were let in."""
        return sum(call.method == method for call in self.calls)

    async def push(self, kind: str, payload: dict[str, Any], retry: int = 0, envelope: str = "") -> dict[str, Any]:
        """Send a request over the app's socket, and wait for its acknowledgement."""
        return await self._socket.push(kind, payload, retry, envelope)

    # --------------------------------------------------------------------------------------- the Web API

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if method in self.hang:
            while method in self.hang:
                await asyncio.sleep(0.01)
        if self.outage == "500":
            return web.Response(status=500, text="upstream error")
        if self.outage == "cut":
            return self._cut(request)
        try:
            args = await self._args(request, method)
            self._check_token(request, method)
            self._methods.check_scope(method)
        except Refuse as refused:
            return web.json_response(refused.answer)
        if wait := self._rates.wait(method, str(args.get("channel", ""))):
            return self._too_often(method, wait)
        self.calls.append(Call(method, args, self._now()))
        answer = self._methods.carry_out(method, args)
        if self.outage == "take" and method == "chat.postMessage":
            return self._cut(request)
        return web.json_response(answer)

    def _too_often(self, method: str, wait: int) -> web.Response:
        self.limited.append(method)
        answer = {"ok": False, "error": "ratelimited"}
        return web.json_response(answer, status=429, headers={"Retry-After": str(wait)})

    @staticmethod
    def _cut(request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _args(self, request: web.Request, method: str) -> dict[str, Any]:
        args: dict[str, Any] = dict(request.query)
        if request.content_type == "application/json":
            data = json.loads(await request.text() or "{}")
            if not isinstance(data, dict):
                raise Refuse("json_not_object")
            # What reads takes its arguments as a form or in the query: JSON is passed over, as Slack does.
            return args if method in _FORM_ONLY else {**args, **data}
        form = await request.post()
        return {**args, **{name: value for name, value in form.items() if isinstance(value, str)}}

    def _check_token(self, request: web.Request, method: str) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        wanted = self.app_token if method == "apps.connections.open" else self.token
        if not given:
            raise Refuse("not_authed")
        if given != wanted:
            raise Refuse("invalid_auth")

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # --------------------------------------------------------------------------------------- answers

    async def _respond(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        known = self._responses.get(name)
        if self.outage in ("500", "cut"):
            return web.Response(status=500)
        if known is None:
            return web.Response(status=404, text="no_such_url")
        user, channel, began, used = known
        if used >= RESPONSES or self._now() - began > RESPONSE_LIFE * self.second:
            return web.Response(status=404, text="used_url" if used >= RESPONSES else "expired_url")
        if wait := self._rates.wait(RESPONSE, ""):
            return self._too_often(RESPONSE, wait)
        body = await request.json()
        if found := message_faults(body.get("text"), body.get("blocks")):
            self.faults += found
            return web.Response(status=400, text=message_error(body.get("text"), body.get("blocks")))
        self._responses[name] = (user, channel, began, used + 1)
        if body.get("response_type", "ephemeral") == "ephemeral":
            self.workspace.told.append(Told(user, str(body.get("text", "")), channel))
        return web.Response(text="ok")
