"""Moments: times with their zone, kept in UTC; one without a zone could be compared with no other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError


def in_utc(at: datetime) -> datetime:
    """The same moment in UTC.

    Raises:
        ValueError: it has no time zone, or lies outside of the calendar.
    """
    if at.utcoffset() is None:
        raise PydanticCustomError("no_time_zone", "a time without a zone: add Z for UTC, or +01:00")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("no_such_time", "a time beyond the calendar") from None


def moment_of(value: Any) -> datetime:
    """What an ISO 8601 text says, in UTC.

    Raises:
        TypeError: it is no text.
        ValueError: it is no time, or ``in_utc`` refuses it.
    """
    return in_utc(datetime.fromisoformat(value))


def stamped(at: datetime, timespec: str = "auto") -> str:
    """A moment in UTC as ISO 8601 text, such as ``2026-01-01T00:00:10Z``; ``timespec`` as ``isoformat`` takes it."""
    return at.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


Moment = Annotated[datetime, AfterValidator(in_utc)]
"""Of all times in records."""
