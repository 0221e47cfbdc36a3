"""A workspace: who is in it, its channels, and the messages in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TEAM = "T0COALMINE"
BOT = "U0COALMINE"
ALL_SCOPES = frozenset(
    {
        "chat:write",
        "commands",
        "users:read",
        "users:read.email",
        "usergroups:read",
        "channels:history",
        "groups:history",
    }
)


@dataclass
class Message:
    """One message of the app."""

    channel: str
    ts: str
    text: str
    blocks: list[dict[str, Any]] = field(default_factory=list)
    thread_ts: str | None = None
    broadcast: bool = False
    metadata: dict[str, Any] | None = None
    updates: int = 0

    @property
    def buttons(self) -> dict[str, dict[str, Any]]:
        """Its buttons by action id."""
        rows = (block["elements"] for block in self.blocks if block["type"] == "actions")
        return {element["action_id"]: element for row in rows for element in row}

    @property
    def shown(self) -> str:
        """All its texts."""
        parts = [self.text]
        for block in self.blocks:
            parts += [one["text"] for one in (block.get("text"), *block.get("elements", [])) if one and "text" in one
                      and isinstance(one["text"], str)]  # fmt: skip
        return "\n".join(parts)


@dataclass(frozen=True)
class Told:
    """What one person alone was told: at a ``response_url``, or by ``chat.postEphemeral``."""

    user: str
    text: str
    channel: str = ""


def member(user_id: str, email: str = "", **more: Any) -> dict[str, Any]:
    """A user as ``users.info`` tells; ``more`` overwrites, such as ``is_restricted=True`` for a guest."""
    return {
        "id": user_id, "team_id": TEAM, "name": user_id.lower(), "deleted": False, "is_bot": False,
        "is_restricted": False, "is_ultra_restricted": False, "is_email_confirmed": True,
        "profile": {"email": email} if email else {}, **more,
    }  # fmt: skip


@dataclass
class Workspace:
    """What there is. Tests change it as they like."""

    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    """User groups: their members."""
    channels: set[str] = field(default_factory=set)
    """Those the app was invited to."""
    uninvited: set[str] = field(default_factory=set)
    scopes: set[str] = field(default_factory=lambda: set(ALL_SCOPES))
    messages: list[Message] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    """Dialogs that were opened, with their ``id``."""

    def roots(self, channel: str | None = None) -> list[Message]:
        """Messages that are in no thread."""
        return [one for one in self.messages if one.thread_ts is None and channel in (None, one.channel)]

    def thread(self, root: Message) -> list[Message]:
        """What stands under a message."""
        return [one for one in self.messages if one.thread_ts == root.ts and one.channel == root.channel]

    def find(self, channel: str, ts: str) -> Message | None:
        """A message by its id."""
        return next((one for one in self.messages if (one.channel, one.ts) == (channel, ts)), None)
