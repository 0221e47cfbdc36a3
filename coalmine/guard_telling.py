"""How the guard writes down and tells what it found. Pure: it is handed over later."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

from coalmine.records import GuardState, LedgerEntry, LedgerWrite, Notification, NotifyRequest, Watched, guard_id

KEPT_UNDELIVERED = 250
"""Messages and ledger entries kept for the next look while nobody takes them, the newest: a payload holds them."""
KEPT_BEFORE = 100
"""The same, at once and whether or not they were handed over, where ``GuardState.offers_all`` is not."""
MOST_AT_ONCE = 1_000
"""Messages and ledger entries that wait to be handed over for the first time: more than one look can find."""


def note(state: GuardState, watched: Watched, kind: str, reason: str, now: datetime, **data: Any) -> None:
    """An entry of the guard's own chain; ``data`` says at least which ``finding`` it is about."""
    state.sequence += 1
    entry = LedgerEntry(
        kind=kind,
        rollout_id=f"{guard_id(state.environment)}/traffic/{state.number}",
        sequence=state.sequence,
        at=now,
        reason=reason,
        by="guard",
        data={
            "service": watched.service,
            "region": watched.region,
            "rollout": watched.rollout_id,
            "run_id": watched.run_id,
            "rest": watched.rest,
            **data,
        },
        tags={"service": watched.service, "environment": state.environment},
    )
    book, _, environment = guard_id(state.environment).partition("/")
    state.backlog.append(LedgerWrite(entries=[entry], ledger=watched.ledger, environment=book, service=environment))
    del state.backlog[: -_most(state)]


def tell(
    state: GuardState,
    watched: Watched,
    title: str,
    text: str,
    severity: Literal["info", "warning", "critical"],
    then: str = "",
) -> None:
    """A message on the channels of the rollout that it is about."""
    state.messages += 1
    notification = Notification(
        title=title,
        text=f"{text[:1].upper()}{text[1:]}. {then}".strip(),
        severity=severity,
        rollout_id=watched.rollout_id,
        workflow_id=guard_id(state.environment),
        key=f"{guard_id(state.environment)}:{state.number}:{state.messages}",
    )
    state.outbox.append(NotifyRequest(notification=notification, channels=watched.notify))
    del state.outbox[: -_most(state)]


def _most(state: GuardState) -> int:
    return MOST_AT_ONCE if state.offers_all else KEPT_BEFORE


def forget_oldest(state: GuardState, offered: Collection[str], written: Collection[int]) -> None:
    """Of what was handed over and not taken the newest stay; what has come since is untouched.

    Args:
        state: Of the guard.
        offered: Keys of the messages that were handed over.
        written: Sequences of the entries that were.
    """
    messages = [one.notification.key for one in state.outbox if one.notification.key in offered]
    entries = [one.entries[0].sequence for one in state.backlog if one.entries[0].sequence in written]
    old_messages, old_entries = set(messages[:-KEPT_UNDELIVERED]), set(entries[:-KEPT_UNDELIVERED])
    state.forgotten += len(old_messages) + len(old_entries)
    state.outbox = [one for one in state.outbox if one.notification.key not in old_messages]
    state.backlog = [one for one in state.backlog if one.entries[0].sequence not in old_entries]


def name_of(watched: Watched) -> str:
    """Environment, service and region."""
    return "/".join(part for part in (watched.environment, watched.service, watched.region) if part)
