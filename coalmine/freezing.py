"""Freezes: times in which nothing may start, for a service, an environment, or everywhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from coalmine.records import EVERYWHERE, Freeze, Submission

LONGEST = timedelta(days=366)
"""A freeze that ends ends within a year; one without an end is said to have none."""
MOST = 200
"""Freezes of one environment."""
_NEVER = datetime.max.replace(tzinfo=UTC)


def in_force(freezes: Sequence[Freeze], now: datetime) -> list[Freeze]:
    """Those that have not ended."""
    return [freeze for freeze in freezes if _end(freeze) > now]


def covering(freezes: Sequence[Freeze], service: str, now: datetime) -> Freeze | None:
    """The freeze that keeps a service from starting: the one that lasts longest."""
    found = [freeze for freeze in in_force(freezes, now) if freeze.service in (None, service)]
    return max(found, key=_end, default=None)


def bars(freeze: Freeze | None, submission: Submission) -> bool:
    """Whether a submission may not start: a person may who says that they know, and so may who shifts no traffic."""
    if freeze is None or submission.advise:
        return False
    return submission.automated or not submission.during_freeze


def frozen(freezes: Sequence[Freeze], new: Freeze, now: datetime) -> list[Freeze]:
    """The freezes with a new one, which takes the place of the one of the same service, or of the environment."""
    return [*(freeze for freeze in in_force(freezes, now) if freeze.service != new.service), new]


def thawed(freezes: Sequence[Freeze], service: str | None, now: datetime) -> tuple[list[Freeze], Freeze | None]:
    """The freezes without that of a service (None: of the environment), and the one that was lifted."""
    here = in_force(freezes, now)
    lifted = next((freeze for freeze in here if freeze.service == service), None)
    return [freeze for freeze in here if freeze is not lifted], lifted


def why_not(freezes: Sequence[Freeze], new: Freeze, now: datetime) -> str | None:
    """Why this freeze cannot be, None when it can."""
    if not new.by.strip():
        return "'by' is empty: say who freezes"
    if not new.reason.strip():
        return "'reason' is empty: say why nothing may start, for whoever wants to"
    if new.until is not None and new.until.tzinfo is None:
        return f"'until' is {new.until}: say in which time zone, such as 2026-12-24T18:00:00Z"
    if new.until is not None and not now < new.until <= now + LONGEST:
        return f"'until' is {new.until}: it must lie ahead, and within {LONGEST.days} days"
    if len(frozen(freezes, new, now)) > MOST:
        return f"there are {MOST} freezes already: lift one, or freeze the whole environment"
    return None


def sentence(freeze: Freeze) -> str:
    """Who froze what, until when and why."""
    until = f"until {freeze.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if freeze.until else "until it is lifted"
    return f"{place(freeze.environment, freeze.service)} is frozen {until} by {freeze.by}: {freeze.reason}"


def place(environment: str, service: str | None) -> str:
    """``checkout in production``, ``production``, ``every environment``."""
    where = "every environment" if environment == EVERYWHERE else environment or "the environment"
    return f"{service} in {where}" if service else where


def _end(freeze: Freeze) -> datetime:
    return freeze.until or _NEVER
