"""What Slack sends to an app when somebody types or clicks: signed, and on wish forged, replayed or sent again."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp

from coalmine.testing.slack.server import FakeSlack
from coalmine.testing.slack.workspace import TEAM, Message

ACK_WITHIN = 3.0
"""Seconds until Slack tells the user that the app did not answer."""
TICK = 0.05
"""Seconds between two looks at the clock; as much again is no standstill."""


@dataclass(frozen=True)
class Answer:
    """What the app answered, and after how many seconds."""

    status: int
    text: str
    seconds: float
    stood_still: float = 0.0
    """Seconds of these in which this process did not get to run, as on a machine that is busy with other things."""

    @property
    def in_time(self) -> bool:
        """Whether Slack would have heard it, had the machine been free."""
        return self.status == 200 and self.seconds - self.stood_still <= ACK_WITHIN


class Standstill:
    """``with Standstill() as still``: for how long the machine did not let this process run.

    A thread of its own looks at the clock, so that an app that holds up its event loop does not count as one.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Standstill:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        began = time.perf_counter()
        while not self._over.wait(TICK):
            ended = time.perf_counter()
            self.count(ended - began)
            began = ended

    def count(self, seconds: float) -> None:
        """Take one tick in that lasted so long."""
        self.seconds += seconds - TICK if seconds > 2 * TICK else 0.0


def signature(secret: str, stamp: str, body: str) -> str:
    """``X-Slack-Signature`` of a request."""
    return "v0=" + hmac.new(secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()


class Hands:
    """People of a workspace, and the requests their typing and clicking makes."""

    def __init__(self, slack: FakeSlack, url: str, channel: str = "C0ROLLOUTS") -> None:
        """``url`` is where the app takes requests; ``channel`` is where people are."""
        self.slack = slack
        self.url = url
        self.channel = channel

    async def send(
        self,
        body: str,
        *,
        secret: str | None = None,
        stamp: str | None = None,
        signed: str | None = None,
        retry: int = 0,
        kind: str = "application/x-www-form-urlencoded",
    ) -> Answer:
        """Send a body.

        Args:
            body: as it is sent.
            secret: signs it; None: the app's own.
            stamp: of the signature, seconds since 1970; None: now.
            signed: the signature, whatever it is; None: the right one.
            retry: ``X-Slack-Retry-Num``.
            kind: content type.
        """
        stamp = str(int(time.time())) if stamp is None else stamp
        signed = signature(secret or self.slack.signing_secret, stamp, body) if signed is None else signed
        headers = {"Content-Type": kind, "X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signed}
        if retry:
            headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"}
        began = time.perf_counter()
        with Standstill() as still:
            async with aiohttp.ClientSession() as session, session.post(self.url, data=body, headers=headers) as answer:
                text = await answer.text()
                return Answer(answer.status, text, time.perf_counter() - began, still.seconds)

    def command_body(self, command: str, text: str, user: str, team: str = TEAM) -> str:
        """The body of a slash command."""
        return urlencode({
            "token": "deprecated", "team_id": team, "team_domain": "coalmine", "channel_id": self.channel,
            "channel_name": "rollouts", "user_id": user, "user_name": user.lower(), "command": command, "text": text,
            "api_app_id": "A0COALMINE", "is_enterprise_install": "false",
            "response_url": self.slack.response_url(user, self.channel), "trigger_id": self.slack.trigger(),
        })  # fmt: skip

    async def command(self, command: str, text: str, user: str, **how: Any) -> Answer:
        """Type a slash command; ``how`` as ``send``."""
        return await self.send(self.command_body(command, text, user, how.pop("team", TEAM)), **how)

    def click_payload(self, message: Message, action_id: str, user: str) -> dict[str, Any]:
        """What a click on a button of a message is told by."""
        return self.pressed_payload(message.buttons[action_id], message, user)

    def pressed_payload(self, button: Mapping[str, Any], message: Message, user: str) -> dict[str, Any]:
        """As ``click_payload``, of a button that the message may not have any more."""
        return {
            "type": "block_actions", "user": {"id": user, "username": user.lower(), "team_id": TEAM},
            "api_app_id": "A0COALMINE", "team": {"id": TEAM, "domain": "coalmine"}, "trigger_id": self.slack.trigger(),
            "container": {"type": "message", "message_ts": message.ts, "channel_id": message.channel},
            "channel": {"id": message.channel, "name": "rollouts"}, "message": {"ts": message.ts, "text": message.text},
            "response_url": self.slack.response_url(user, message.channel),
            "actions": [{**{name: button[name] for name in ("action_id", "type", "text", "value") if name in button},
                         "block_id": "buttons", "action_ts": f"{time.time():.6f}"}],
        }  # fmt: skip

    async def click(self, message: Message, action_id: str, user: str, **how: Any) -> Answer:
        """Click a button that a message has now."""
        return await self.interact(self.click_payload(message, action_id, user), **how)

    def submit_payload(self, view: Mapping[str, Any], user: str, reason: str = "") -> dict[str, Any]:
        """What answering a dialog is told by."""
        blocks = [block for block in view["blocks"] if block["type"] == "input"]
        values = {
            block["block_id"]: {block["element"]["action_id"]: {"type": "plain_text_input", "value": reason or None}}
            for block in blocks
        }
        return {
            "type": "view_submission", "team": {"id": TEAM, "domain": "coalmine"}, "api_app_id": "A0COALMINE",
            "user": {"id": user, "username": user.lower(), "team_id": TEAM}, "trigger_id": self.slack.trigger(),
            "view": {**view, "state": {"values": values}}, "response_urls": [],
        }  # fmt: skip

    async def submit(self, view: Mapping[str, Any], user: str, reason: str = "", **how: Any) -> Answer:
        """Answer a dialog."""
        return await self.interact(self.submit_payload(view, user, reason), **how)

    async def interact(self, payload: Mapping[str, Any], **how: Any) -> Answer:
        """Send an interaction; ``how`` as ``send``."""
        return await self.send(urlencode({"payload": json.dumps(payload)}), **how)

    async def opened(self, before: int, action_id: str = "") -> dict[str, Any]:
        """The first dialog (of an action) that is opened once there were ``before``."""
        async with asyncio.timeout(30):
            while True:
                for view in self.slack.workspace.views[before:]:
                    if action_id in ("", view.get("callback_id")):
                        return view
                await asyncio.sleep(0.01)

    async def told(self, user: str, before: int = 0) -> str:
        """What somebody alone is told, once there were ``before`` such messages to them."""
        async with asyncio.timeout(60):
            while True:
                mine = [one.text for one in self.slack.workspace.told if one.user == user]
                if len(mine) > before:
                    return mine[-1]
                await asyncio.sleep(0.01)
