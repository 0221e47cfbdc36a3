"""Times of records: with a zone, in UTC; without one they are refused where they come in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from coalmine.records import LedgerEntry, Window, in_utc, moment_of, unreadable

LINE = '{"kind":"look","rollout_id":"production/checkout/1.42.0/1","sequence":2,"at":"%s"}'


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01T12:00:00+01:00", "2026-03-01T11:00:00+00:00"),
    ],
)
def test_a_time_of_any_zone_is_kept_in_utc(text: str, utc: str) -> None:
    assert moment_of(text).isoformat() == utc
    assert LedgerEntry.model_validate_json(LINE % text).at.isoformat() == utc


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-03-01T12:00:00", "a time without a zone: add Z for UTC, or +01:00"),
        ("2026-03-01", "a time without a zone: add Z for UTC, or +01:00"),
        ("0001-01-01T00:00:00+12:00", "a time beyond the calendar"),
        ("9999-12-31T23:59:59-12:00", "a time beyond the calendar"),
    ],
)
def test_a_time_that_can_be_compared_with_no_other_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        moment_of(text)
    with pytest.raises(ValidationError) as refused:
        LedgerEntry.model_validate_json(LINE % text)
    assert unreadable(refused.value) == f"at: {why}"


def test_nothing_of_ours_is_made_with_such_a_time() -> None:
    with pytest.raises(ValidationError, match="a time without a zone"):
        Window(start=datetime(2026, 3, 1), end=datetime(2026, 3, 2))
    assert in_utc(datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == datetime(2026, 3, 1, tzinfo=UTC)
    with pytest.raises(TypeError):
        moment_of(5)
