"""What the methods of Slack's Web API do to a workspace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from coalmine.testing.slack.limits import MESSAGE_TEXT, UPDATE_TEXT, message_error, message_faults, view_faults
from coalmine.testing.slack.refusal import Refuse
from coalmine.testing.slack.workspace import BOT, TEAM, Message, Told, Workspace

TRIGGER_LIFE = 3.0
SCOPES = {
    "chat.postMessage": "chat:write", "chat.update": "chat:write", "chat.postEphemeral": "chat:write",
    "users.info": "users:read", "users.lookupByEmail": "users:read.email",
    "usergroups.users.list": "usergroups:read", "conversations.history": "channels:history",
}  # fmt: skip


class Methods:
    """Methods by name; ``faults`` grows by what was refused for Block Kit's limits."""

    def __init__(self, workspace: Workspace, url: Callable[[], str], faults: list[str]) -> None:
        self.workspace = workspace
        self.faults = faults
        self._url = url
        self._numbers = count(1)
        self._triggers: dict[str, float | None] = {}
        self._known: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "auth.test": self._auth_test, "chat.postMessage": self._post, "chat.update": self._update,
            "chat.postEphemeral": self._ephemeral, "views.open": self._open, "users.info": self._user,
            "users.lookupByEmail": self._user_of_address,
            "usergroups.users.list": self._members, "conversations.history": self._history,
            "apps.connections.open": self._connection,
        }  # fmt: skip

    def check_scope(self, method: str) -> None:
        """Refuse what the app was not installed for."""
        scope = SCOPES.get(method)
        if scope is not None and scope not in self.workspace.scopes:
            raise Refuse("missing_scope", needed=scope, provided=",".join(sorted(self.workspace.scopes)))

    def carry_out(self, method: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """Do it; the answer, or why not."""
        try:
            if method not in self._known:
                raise Refuse("unknown_method", req_method=method)
            return {"ok": True, **self._known[method](args)}
        except Refuse as refused:
            return refused.answer

    def trigger(self) -> str:
        """A new ``trigger_id``: good for one dialog, for three seconds."""
        trigger = f"{next(self._numbers)}.fake.trigger"
        self._triggers[trigger] = self._now()
        return trigger

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _auth_test(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "url": self._url(),
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
            raise Refuse("thread_not_found")
        number = next(self._numbers)
        ts = f"{1_700_000_000 + number}.{number:06d}"
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
            raise Refuse("message_not_found")
        message.text, message.blocks = self._content(args, UPDATE_TEXT)
        message.metadata = args.get("metadata", message.metadata)
        message.updates += 1
        return {"channel": channel, "ts": message.ts}

    def _ephemeral(self, args: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._channel(args)
        if args.get("user") not in self.workspace.users:
            raise Refuse("user_not_in_channel")
        text, _ = self._content(args)
        self.workspace.told.append(Told(str(args["user"]), text, channel))
        return {"message_ts": "1"}

    def _open(self, args: Mapping[str, Any]) -> dict[str, Any]:
        trigger = str(args.get("trigger_id"))
        if trigger not in self._triggers:
            raise Refuse("invalid_trigger_id")
        began = self._triggers[trigger]
        if began is None:
            raise Refuse("exchanged_trigger_id")
        if self._now() - began > TRIGGER_LIFE:
            raise Refuse("expired_trigger_id")
        if found := view_faults(args.get("view")):
            self.faults += found
            raise Refuse("invalid_arguments", response_metadata={"messages": found})
        self._triggers[trigger] = None
        number = next(self._numbers)
        view = {**args["view"], "id": f"V{number}", "hash": f"{number}.hash", "team_id": TEAM}
        self.workspace.views.append(view)
        return {"view": view}

    def _user(self, args: Mapping[str, Any]) -> dict[str, Any]:
        user = self.workspace.users.get(str(args.get("user")))
        if user is None:
            raise Refuse("user_not_found")
        if "users:read.email" not in self.workspace.scopes:
            user = {**user, "profile": {}}
        return {"user": user}

    def _user_of_address(self, args: Mapping[str, Any]) -> dict[str, Any]:
        wanted = str(args.get("email") or "").casefold()
        # Deactivated accounts, bots and people of other workspaces have no address here.
        here = (one for one in self.workspace.users.values() if one["team_id"] == TEAM)
        known = (one for one in here if not one.get("deleted") and not one.get("is_bot"))
        user = next((one for one in known if wanted and one["profile"].get("email", "").casefold() == wanted), None)
        if user is None:
            raise Refuse("users_not_found")
        return {"user": user}

    def _members(self, args: Mapping[str, Any]) -> dict[str, Any]:
        members = self.workspace.groups.get(str(args.get("usergroup")))
        if members is None:
            raise Refuse("no_such_subteam")
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
        return {"url": self._url().replace("http", "ws", 1) + "/socket"}

    def _channel(self, args: Mapping[str, Any]) -> str:
        channel = str(args.get("channel", ""))
        if channel in self.workspace.uninvited:
            raise Refuse("not_in_channel")
        if channel not in self.workspace.channels:
            raise Refuse("channel_not_found")
        return channel

    def _content(self, args: Mapping[str, Any], most: int = MESSAGE_TEXT) -> tuple[str, list[dict[str, Any]]]:
        text, blocks = args.get("text"), args.get("blocks")
        if not text and not blocks:
            raise Refuse("no_text")
        if found := message_faults(text, blocks, most):
            self.faults += found
            raise Refuse(message_error(text, blocks, most), response_metadata={"messages": found})
        return str(text or ""), list(blocks or [])
