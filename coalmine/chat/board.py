"""The one message of a rollout and the thread under it: what is to be sent next, one call at a time."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from coalmine.chat import blocks
from coalmine.chat.buttons import offered
from coalmine.chat.digest import overrides
from coalmine.chat.memory import Kept, Memory
from coalmine.chat.mentions import Mentions
from coalmine.chat.outbox import Outbox
from coalmine.chat.thread import asked, next_message
from coalmine.chat.web import Slack, SlackRefused
from coalmine.records import LedgerEntry, Phase, RolloutStatus

EVENT = "coalmine_rollout"
"""Type of the metadata that each message carries: by it a message is found whose post nobody confirmed."""
_GONE = frozenset({"message_not_found", "thread_not_found"})
_UNREADABLE = frozenset(
    {"missing_scope", "not_in_channel", "channel_not_found", "no_permission", "not_allowed_token_type"}
)
_PLAIN = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})
_log = logging.getLogger("coalmine.chat")


@dataclass(frozen=True)
class Wall:
    """What all boards share."""

    slack: Slack
    outbox: Outbox
    memory: Memory
    mentions: Mentions


@dataclass
class Board:
    """One rollout in its channel. ``see`` takes what is new, ``send_next`` sends it."""

    wall: Wall
    kept: Kept
    link: str | None = None
    status: RolloutStatus | None = None
    entries: Sequence[LedgerEntry] = field(default_factory=list)
    trouble: str = ""
    """Why nothing newer than ``status`` is known; empty when it is."""
    refused: str = ""
    """Digest of the blocks that Slack refused: these are sent as text, and any others as blocks again."""
    _tried: str = ""
    """Digest of the blocks that were sent last; empty when that was text alone."""

    @property
    def key(self) -> str:
        """Its rollout."""
        return self.kept.rollout_id

    def see(self, status: RolloutStatus, entries: Sequence[LedgerEntry] | None) -> None:
        """Take what is so now; it is sent when its turn comes. ``entries`` None: nothing new is known of the record."""
        urgent = self.status is None or offered(status) != offered(self.status) or status.phase is not self.status.phase
        self.status, self.trouble = status, ""
        if entries is not None:
            self.entries = entries
            self.wall.memory.keep_overrides(overrides(entries))
        self.kept.run_id = status.run_id or self.kept.run_id
        if self._todo():
            self.wall.outbox.put(self.kept.channel, self, urgent=urgent)
        elif status.phase is Phase.CLOSED:
            self._close()

    def see_trouble(self, why: str) -> None:
        """Show why it cannot be read, with what was known last; a board that never showed anything has no message."""
        if why != self.trouble and self.status is not None:
            self.trouble = why
            self.wall.outbox.put(self.kept.channel, self, urgent=True)

    def _todo(self) -> bool:
        if self.status is None or self.kept.closed:
            return False
        return not self.kept.ts or self._digest() != self.kept.shown or self._fresh()

    def _fresh(self) -> bool:
        return bool(self.entries) and self.entries[-1].sequence > self.kept.told

    async def send_next(self) -> bool:
        """Post the message, or update it, or tell the next of its thread."""
        if self.status is None or self.kept.closed:
            return False
        if not self.kept.ts:
            await self._post()
        elif self._digest() != self.kept.shown:
            await self._update()
        elif self._fresh():
            await self._tell()
        if self._todo():
            return True
        if self.status.phase is Phase.CLOSED:
            self._close()
        return False

    def give_up(self, refused: SlackRefused) -> bool:
        """What Slack will never take."""
        if refused.code in _PLAIN and self._tried:
            self.refused = self._tried
            return True
        if refused.code in _GONE:
            # Somebody deleted the message: the rollout goes on, and so does its telling, in a new one.
            self.refused = ""
            self.kept.ts, self.kept.shown, self.kept.posting = "", "", 0.0
            self.wall.memory.keep(self.kept)
            return True
        if refused.code in ("cant_update_message", "edit_window_closed"):
            self.kept.shown = self._digest()
            self.wall.memory.keep(self.kept)
            return self._todo()
        return False

    async def _post(self) -> None:
        if self.kept.posting and (found := await self._find()):
            self.kept.ts = found
            self.wall.memory.keep(self.kept)
            return
        await self.wall.outbox.before_post(self.kept.channel)
        self.kept.posting = time.time()
        self.wall.memory.keep(self.kept)
        shown = self._digest()
        try:
            answer = await self.wall.slack.call(
                "chat.postMessage", channel=self.kept.channel, metadata=self._metadata(), unfurl_links=False,
                unfurl_media=False, **self._body(),
            )  # fmt: skip
        except SlackRefused:
            self.kept.posting = 0.0
            raise
        finally:
            self.wall.outbox.posted(self.kept.channel)
        self.kept.ts, self.kept.shown = str(answer.get("ts") or ""), shown
        self.wall.memory.keep(self.kept)

    async def _find(self) -> str:
        """A message that was posted, though the answer never came; empty: none, or we may not look."""
        try:
            answer = await self.wall.slack.call(
                "conversations.history", channel=self.kept.channel, include_all_metadata=1, limit=100,
                oldest=f"{self.kept.posting - 60:.6f}",
            )  # fmt: skip
        except SlackRefused as error:
            if error.code not in _UNREADABLE:
                _log.warning("%s", error)
            return ""
        for message in answer.get("messages", []):
            metadata = message.get("metadata") or {}
            if metadata.get("event_type") == EVENT and metadata.get("event_payload", {}).get("rollout") == self.key:
                return str(message.get("ts") or "")
        return ""

    async def _update(self) -> None:
        await self.wall.outbox.before_update()
        shown = self._digest()
        await self.wall.slack.call(
            "chat.update", channel=self.kept.channel, ts=self.kept.ts, metadata=self._metadata(), **self._body()
        )
        self.kept.shown = shown
        self.wall.memory.keep(self.kept)

    async def _tell(self) -> None:
        assert self.status is not None
        self._tried = ""
        entries, status, mentions = self.entries, self.status, self.wall.mentions
        people = await mentions.people(asked(entries, self.kept.told, status, mentions.groups))
        told = next_message(entries, self.kept.told, status, mentions.groups, people)
        if told is None:
            return
        if told.text:
            await self.wall.outbox.before_post(self.kept.channel)
            try:
                await self.wall.slack.call(
                    "chat.postMessage", channel=self.kept.channel, thread_ts=self.kept.ts, text=told.text,
                    reply_broadcast=told.broadcast or None, unfurl_links=False, unfurl_media=False,
                )  # fmt: skip
            finally:
                self.wall.outbox.posted(self.kept.channel)
        self.kept.told = told.sequence
        self.wall.memory.keep(self.kept)

    def _body(self) -> dict[str, Any]:
        assert self.status is not None
        text, digest = blocks.summary(self.status), self._digest()
        self._tried = "" if digest == self.refused else digest
        return {"text": text, "blocks": self._blocks()} if self._tried else {"text": text}

    def _blocks(self) -> list[dict[str, Any]]:
        assert self.status is not None
        said = next((entry for entry in reversed(self.entries) if entry.kind == "command"), None)
        return blocks.message(self.status, said, self.link, self.trouble)

    def _digest(self) -> str:
        return hashlib.sha256(json.dumps(self._blocks(), sort_keys=True).encode()).hexdigest()

    def _metadata(self) -> dict[str, Any]:
        return {"event_type": EVENT, "event_payload": {"rollout": self.key, "workflow": self.kept.workflow_id}}

    def _close(self) -> None:
        if not self.kept.closed:
            self.kept.closed = True
            self.entries = []
            self.wall.memory.keep(self.kept)
