"""The digest of the day: what closed, what waits for whom, and how often people went past the rules. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from coalmine.chat import mrkdwn
from coalmine.chat.mrkdwn import cut, escaped
from coalmine.chat.settings import Digest
from coalmine.cli import _words
from coalmine.records import LedgerEntry, Phase, RolloutStatus

LONGEST = 3_000
DAY = timedelta(days=1)
SETTLED = timedelta(minutes=1)
"""What is younger is for the next digest: lists and records show what happened some seconds late."""
MOST_LATE = timedelta(days=30)
"""An override that is heard of later than this is old: ``memory.KEPT_DAYS`` must be longer."""
MOST_LINES = 20
OVERRIDES = {
    "override": "promoted past the rules",
    "break_glass": "glass broken",
    "freeze_overridden": "freezes overridden",
}


def due(settings: Digest, now: datetime, last: str) -> date | None:
    """The day whose digest is to be sent now; None when none is.

    Args:
        settings: when, and in which time zone.
        now: with a time zone.
        last: the day of the last one as ISO has it; empty when there was none.
    """
    local = now.astimezone(ZoneInfo(settings.zone))
    if local.time() < settings.at or (last != "none" and last >= local.date().isoformat()):
        return None
    return local.date()


@dataclass(frozen=True)
class Span:
    """What a digest tells of: after ``since``, up to ``until``. They tile: nothing is told twice, or never."""

    since: datetime
    until: datetime
    first: bool = False
    """No digest was sent before."""

    def __contains__(self, at: datetime | None) -> bool:
        return at is not None and self.since < at <= self.until

    @property
    def late(self) -> bool:
        """It is clearly more than a day: nobody was there to send one at its hour."""
        return self.until - self.since > DAY + timedelta(hours=1)

    @property
    def heard_since(self) -> datetime:
        """From when on overrides count that none has told: what nobody could read then is for the next digest."""
        return self.since if self.first else self.until - MOST_LATE


def span(now: datetime, last: str) -> Span:
    """From the last digest on; of the first one, and where none says, the last day.

    Args:
        now: with a time zone.
        last: ``until`` of the last one as ISO has it; empty when there was none.
    """
    until = now - SETTLED
    return Span(datetime.fromisoformat(last), until) if last else Span(until - DAY, until, first=True)


def overrides(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Those by which people went past the rules."""
    return [entry for entry in entries if entry.kind in OVERRIDES]


def text(
    day: date,
    closed: Sequence[RolloutStatus],
    open_: Sequence[RolloutStatus],
    went: Counter[str],
    since: datetime | None = None,
) -> str:
    """The digest as one text.

    Args:
        day: it is sent on.
        closed: since the last one.
        open_: now.
        went: how often people went past the rules since then, by the kind of entry.
        since: when that was, where it has to be said.
    """
    outcomes = Counter(str(one.outcome or "ended").replace("_", " ") for one in closed)
    counted = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items())) or "nothing closed"
    begin = f"from {since:%Y-%m-%d %H:%M} " if since is not None else ""
    lines = [f"*Rollouts {begin}until {day.isoformat()}*: {counted}, {len(open_)} open"]
    lines += _some([f"• {escaped(_words.headline(one))}: {cut(mrkdwn.plain_marks(one.reason), 160)}" for one in closed])
    waiting = [one for one in open_ if one.phase in (Phase.GATED, Phase.HELD) or one.paused]
    if waiting:
        lines.append("*Waiting for people*")
        lines += _some(
            [f"• {escaped(_words.headline(one))}: {cut(mrkdwn.plain_marks(_why(one)), 160)}" for one in waiting]
        )
    if went:
        lines.append("*Past the rules*: " + ", ".join(f"{count} {OVERRIDES[kind]}" for kind, count in went.items()))
    return cut("\n".join(lines), LONGEST)


def _why(status: RolloutStatus) -> str:
    if status.phase is Phase.HELD:
        return status.held_reason
    if status.gate is not None:
        return f"gate {_words.gate(status)}"
    return "paused" if status.paused else status.reason


def _some(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"… and {more} more"] if more > 0 else [])]
