"""Entries of the ledger, messages to people, and hooks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from coalmine.records.base import Outcome, Phase, Record, RolloutContext
from coalmine.records.moments import Moment
from coalmine.spec.channels import Notifier
from coalmine.spec.ledger import Ledger

LedgerKey = tuple[str, int, datetime]
"""Rollout id, sequence and time."""


class LedgerEntry(Record):
    """One line of the ledger, idempotent by its key."""

    kind: str
    """``admitted`` ``shifted`` ``look`` ``advance`` ``hold`` ``command`` ``refused`` ``closed`` ..."""
    rollout_id: str
    sequence: int
    at: Moment
    reason: str = ""
    by: str = ""
    phase: Phase | None = None
    data: dict[str, Any] = {}
    tags: dict[str, str] = {}
    """``service`` ``environment`` ``region`` ``version``, put on when the entry is written: each line tells by itself
    what it is of. None of them is there when it has no value."""

    @property
    def key(self) -> LedgerKey:
        """What makes two entries one.

        The time is part of it: after a workflow reset another run goes on from an earlier sequence, and says other
        things under sequences that the first run used up. Both happened, and both are kept.
        """
        return self.rollout_id, self.sequence, self.at


def unreadable(error: ValidationError) -> str:
    """What is wrong with a line that is no entry: its first fault, by field."""
    first = error.errors(include_url=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}".removeprefix(": ")


def carried_on(entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """Entries in order of time, without those that a reset took back: of each sequence, the one written last."""
    newest = {entry.key[:2]: entry for entry in sorted(entries, key=lambda entry: entry.at)}
    return sorted(newest.values(), key=lambda entry: (entry.at, entry.rollout_id, entry.sequence))


class LedgerWrite(Record):
    """Append these entries; those already there (by key) are skipped."""

    entries: list[LedgerEntry]
    ledger: Ledger
    service: str
    environment: str
    region: str | None = None
    context: RolloutContext | None = None


class ChainTip(Record):
    """Where the ledger's chain of a rollout ends: what proves from outside that nothing was cut off."""

    records: int
    hash: str
    """SHA-256 of the last line, 64 hex digits."""


class Written(Record):
    """How many entries were new, and where the chain ends since."""

    written: int
    tip: ChainTip | None = None


class ArchiveRequest(Record):
    """Keep the history of one run of a rollout beside its entries."""

    ledger: Ledger
    service: str
    environment: str
    region: str | None = None
    rollout_id: str
    workflow_id: str
    run_id: str
    context: RolloutContext | None = None


class Archived(Record):
    """Where a history is kept, and what proves that it is the one."""

    file: str
    """Within the ledger."""
    sha256: str
    """Of the file as it is kept, compressed; 64 hex digits."""
    run_id: str
    events: int
    bytes: int
    """Of the file."""
    whole: bool
    """The run was over. If not, the copy ends where it was taken."""


class Notification(Record):
    """One message to people."""

    title: str
    text: str = ""
    severity: Literal["info", "warning", "critical"] = "info"
    rollout_id: str = ""
    workflow_id: str = ""
    phase: Phase | None = None
    outcome: Outcome | None = None
    key: str = ""
    """Idempotency key: the same message is not shown twice by channels that can tell."""
    to: list[str] = []
    """Whom it was escalated to: channels, groups and people by name."""


class NotifyRequest(Record):
    """A message and the channels it goes to."""

    notification: Notification
    channels: list[Notifier]
    context: RolloutContext | None = None


class Done(Record):
    """Nothing to say but that it is done."""

    detail: str = ""


RETIRE = "retire"
"""The hook that takes the old version away, when its rollback window is over."""


HOOK_COPIED = "HookCopied"
"""The type of the failure of a call that another run had ordered, and a reset has copied: nothing was sent."""


class HookRequest(Record):
    """Post to one hook; ``key`` is the idempotency key, the same for every retry."""

    url: str
    hook: str
    key: str
    rollout_id: str
    service: str
    environment: str
    region: str | None = None
    version: str = ""
    baseline_version: str = ""
    reason: str = ""
    run_id: str = ""
    """The run that ordered the call, empty of older builds. Not posted: a call has one body, whoever orders it."""
    context: RolloutContext | None = None
