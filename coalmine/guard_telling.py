"""How the guard writes down and tells what it found. Pure: it is handed over later."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from coalmine.records import GuardState, LedgerEntry, LedgerWrite, Notification, NotifyRequest, Watched, guard_id

KEPT_UNDELIVERED = 100
"""Messages and ledger entries kept for the next look while nobody takes them, the newest."""


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
    del state.backlog[:-KEPT_UNDELIVERED]


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
    del state.outbox[:-KEPT_UNDELIVERED]


def name_of(watched: Watched) -> str:
    """Environment, service and region."""
    return "/".join(part for part in (watched.environment, watched.service, watched.region) if part)
