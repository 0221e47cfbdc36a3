"""Slack's Web API over HTTP: tokens, scopes, rate limits and Block Kit limits are enforced as Slack documents them."""

from __future__ import annotations

import asyncio
import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from coalmine.testing.slack.limits import message_faults, view_faults
from coalmine.testing.slack.workspace import BOT, TEAM, Message, Told, Workspace

TIERS = {
    "chat.update": 50, "chat.postEphemeral": 100, "views.open": 100, "users.info": 100, "usergroups.users.list": 20,
    "conversations.history": 50, "auth.test": 100, "apps.connections.open": 1,
}  # fmt: skip
"""Calls a minute."""
POSTS_PER_SECOND = 1
RESPONSES = 5
"""Uses of one ``response_url``."""
RESPONSE_LIFE = 1_800.0
TRIGGER_LIFE = 3.0
SCOPES = {
    "chat.postMessage": "chat:write", "chat.update": "chat:write", "chat.postEphemeral": "chat:write",
    "users.info": "users:read", "usergroups.users.list": "usergroups:read", "conversations.history": "channels:history",
}  # fmt: skip
_FORM_ONLY = frozenset({"users.info", "usergroups.users.list", "conversations.history"})


class _Refuse(Exception):
    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.answer = {"ok": False, "error": error, **more}


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
    hang: set[str] = field(default_factory=set)
    """Methods that do not answer until they are taken out."""
    calls: list[Call] = field(default_factory=list)
    limited: list[str] = field(default_factory=list)
    """Methods that were answered 429, in order."""
    faults: list[str] = field(default_factory=list)
    """What was refused for Block Kit's limits."""

    def __post_init__(self) -> None:
        self._times: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._triggers: dict[str, float | None] = {}
        self._responses: dict[str, tuple[str, str, float, int]] = {}
        self._number = 0
        self._forced: list[tuple[str, int]] = []
        self._socket: web.WebSocketResponse | None = None
        self._acks: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.connected = asyncio.Event()
        """A socket of the app is open."""

    async def __aenter__(self) -> FakeSlack:
        site = web.Application()
        site.add_routes([web.route("*", "/api/{method}", self._api), web.post("/respond/{id}", self._respond),
                         web.get("/socket", self._serve_socket)])  # fmt: skip
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
        """Answer the next calls of a method with 429."""
        self._forced += [(method, seconds)] * times

    def trigger(self) -> str:
        """A new ``trigger_id``: good for one dialog, for three seconds."""
        self._number += 1
        trigger = f"{self._number}.fake.trigger"
        self._triggers[trigger] = self._now()
        return trigger

    def response_url(self, user: str, channel: str) -> str:
        """A new ``response_url``."""
        self._number += 1
        self._responses[str(self._number)] = (user, channel, self._now(), 0)
        return f"{self.url}/respond/{self._number}"

    def count(self, method: str) -> int:
        """How many calls of a method were let in."""
        return sum(call.method == method for call in self.calls)

    async def push(self, kind: str, payload: dict[str, Any], retry: int = 0, envelope: str = "") -> dict[str, Any]:
        """Send a request over the app's socket, and wait for its acknowledgement."""
        assert self._socket is not None, "no socket of the app is open"
        self._number += 1
        envelope = envelope or f"envelope-{self._number}"
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._acks[envelope] = answer
        sent: dict[str, Any] = {
            "envelope_id": envelope,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": True,
        }
        if retry:
            sent |= {"retry_attempt": retry, "retry_reason": "timeout"}
        await self._socket.send_json(sent)
        async with asyncio.timeout(30):
            return await answer

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
            self._check_scope(method)
        except _Refuse as refused:
            return web.json_response(refused.answer)
        wait = self._too_often(method, str(args.get("channel", "")))
        if wait:
            self.limited.append(method)
            answer = {"ok": False, "error": "ratelimited"}
            return web.json_response(answer, status=429, headers={"Retry-After": str(wait)})
        self.calls.append(Call(method, args, self._now()))
        known: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "auth.test": self._auth_test, "chat.postMessage": self._post, "chat.update": self._update,
            "chat.postEphemeral": self._ephemeral, "views.open": self._open, "users.info": self._user,
            "usergroups.users.list": self._members, "conversations.history": self._history,
            "apps.connections.open": self._connection,
        }  # fmt: skip
        try:
            if method not in known:
                raise _Refuse("unknown_method", req_method=method)
            answer = {"ok": True, **known[method](args)}
        except _Refuse as refused:
            answer = refused.answer
        if self.outage == "take" and method == "chat.postMessage":
            return self._cut(request)
        return web.json_response(answer)

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
                raise _Refuse("json_not_object")
            # What reads takes its arguments as a form or in the query: JSON is passed over, as Slack does.
            return args if method in _FORM_ONLY else {**args, **data}
        form = await request.post()
        return {**args, **{name: value for name, value in form.items() if isinstance(value, str)}}

    def _check_token(self, request: web.Request, method: str) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        wanted = self.app_token if method == "apps.connections.open" else self.token
        if not given:
            raise _Refuse("not_authed")
        if given != wanted:
            raise _Refuse("invalid_auth")

    def _check_scope(self, method: str) -> None:
        scope = SCOPES.get(method)
        if scope is not None and scope not in self.workspace.scopes:
            raise _Refuse("missing_scope", needed=scope, provided=",".join(sorted(self.workspace.scopes)))

    def _too_often(self, method: str, channel: str) -> int:
        """Seconds to wait; 0 = it may."""
        for number, (forced, seconds) in enumerate(self._forced):
            if forced == method:
                del self._forced[number]
                return seconds
        if method == "chat.postMessage":
            return self._over(method, channel, POSTS_PER_SECOND, 1.0)
        return self._over(method, "", TIERS.get(method, 20), 60.0)

    def _over(self, method: str, channel: str, most: int, seconds: float) -> int:
        now, times = self._now(), self._times[method, channel]
        times[:] = [at for at in times if now - at < seconds * self.second]
        if len(times) < most:
            times.append(now)
            return 0
        return max(math.ceil((times[0] - now) / self.second + seconds), 1)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # --------------------------------------------------------------------------------------- methods

    def _auth_test(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "url": self.url,
            "team": "Coalmine",
            "user": "coalmine",
            "team_id": TEAM,
            "user_id": BOT,
            "bot_id": "B0COALMINE",
        }

    def _post(self, args: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._channel(args)
        text, blocks = self._content(args)
        thread = args.get("thread_ts")
        if thread is not None and self.workspace.find(channel, str(thread)) is None:
            raise _Refuse("thread_not_found")
        self._number += 1
        ts = f"{1_700_000_000 + self._number}.{self._number:06d}"
        message = Message(
            channel, ts, text, blocks, str(thread) if thread else None,
            bool(args.get("reply_broadcast")), args.get("metadata"),
        )  # fmt: skip
        self.workspace.messages.append(message)
        return {"channel": channel, "ts": message.ts}

    def _update(self, args: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._channel(args)
        message = self.workspace.find(channel, str(args.get("ts")))
        if message is None:
            raise _Refuse("message_not_found")
        message.text, message.blocks = self._content(args)
        message.metadata = args.get("metadata", message.metadata)
        message.updates += 1
        return {"channel": channel, "ts": message.ts}

    def _ephemeral(self, args: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._channel(args)
        if args.get("user") not in self.workspace.users:
            raise _Refuse("user_not_in_channel")
        text, _ = self._content(args)
        self.workspace.told.append(Told(str(args["user"]), text, channel))
        return {"message_ts": "1"}

    def _open(self, args: Mapping[str, Any]) -> dict[str, Any]:
        trigger = str(args.get("trigger_id"))
        if trigger not in self._triggers:
            raise _Refuse("invalid_trigger_id")
        began = self._triggers[trigger]
        if began is None:
            raise _Refuse("exchanged_trigger_id")
        if self._now() - began > TRIGGER_LIFE:
            raise _Refuse("expired_trigger_id")
        if found := view_faults(args.get("view")):
            self.faults += found
            raise _Refuse("invalid_arguments", response_metadata={"messages": found})
        self._triggers[trigger] = None
        self._number += 1
        view = {**args["view"], "id": f"V{self._number}", "hash": f"{self._number}.hash", "team_id": TEAM}
        self.workspace.views.append(view)
        return {"view": view}

    def _user(self, args: Mapping[str, Any]) -> dict[str, Any]:
        user = self.workspace.users.get(str(args.get("user")))
        if user is None:
            raise _Refuse("user_not_found")
        if "users:read.email" not in self.workspace.scopes:
            user = {**user, "profile": {}}
        return {"user": user}

    def _members(self, args: Mapping[str, Any]) -> dict[str, Any]:
        members = self.workspace.groups.get(str(args.get("usergroup")))
        if members is None:
            raise _Refuse("no_such_subteam")
        return {"users": members}

    def _history(self, args: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._channel(args)
        shown = [
            {"ts": one.ts, "text": one.text, "bot_id": "B0COALMINE"}
            | ({"metadata": one.metadata} if one.metadata and args.get("include_all_metadata") in ("1", "true") else {})
            for one in reversed(self.workspace.roots(channel))
        ]
        return {"messages": shown[: int(args.get("limit", 100))], "has_more": False}

    def _connection(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return {"url": self.url.replace("http", "ws", 1) + "/socket"}

    def _channel(self, args: Mapping[str, Any]) -> str:
        channel = str(args.get("channel", ""))
        if channel in self.workspace.uninvited:
            raise _Refuse("not_in_channel")
        if channel not in self.workspace.channels:
            raise _Refuse("channel_not_found")
        return channel

    def _content(self, args: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
        text, blocks = args.get("text"), args.get("blocks")
        if not text and not blocks:
            raise _Refuse("no_text")
        if found := message_faults(text, blocks):
            self.faults += found
            raise _Refuse("invalid_blocks", response_metadata={"messages": found})
        return str(text or ""), list(blocks or [])

    # --------------------------------------------------------------------------------------- answers, socket

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
        body = await request.json()
        if found := message_faults(body.get("text"), body.get("blocks")):
            self.faults += found
            return web.Response(status=400, text="invalid_blocks")
        self._responses[name] = (user, channel, began, used + 1)
        if body.get("response_type", "ephemeral") == "ephemeral":
            self.workspace.told.append(Told(user, str(body.get("text", "")), channel))
        return web.Response(text="ok")

    async def _serve_socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._socket = socket
        await socket.send_json({"type": "hello", "num_connections": 1})
        self.connected.set()
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.data.startswith("{"):
                answer = json.loads(message.data)
                waiting = self._acks.pop(answer.get("envelope_id", ""), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        return socket
