"""Exact increments of counters between two moments, from raw samples. Pure: no I/O, no clock.

An increment over ``(start, end]`` is the last sample at or before ``end`` minus the last at or before ``start``, walked
sample by sample so that a counter that fell (a restart) adds what it shows since. Each step between two samples belongs
to exactly one window, so windows that tile add up to the whole, whatever the scrape timing.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Sample = tuple[int, str]
"""Milliseconds since 1970 and the value as Prometheus writes it."""
K = TypeVar("K", bound=Hashable)
_EXACT = 2**53


class NotACount(ValueError):
    """Raised when a sample is no whole count; the message is the reason, without naming the series."""


def whole(text: str) -> int:
    """A sample's value as an exact integer.

    Raises:
        NotACount: NaN, infinite, negative, not whole, or too big for a float to be exact.
    """
    try:
        value = int(text)
    except ValueError:
        number = float(text)
        if math.isnan(number):
            raise NotACount("NaN") from None
        if not number.is_integer():
            raise NotACount(f"{text} is not a whole number, so this is no counter of requests") from None
        value = int(number)
    if value < 0:
        raise NotACount(f"{text} is negative, so this is no counter")
    if value > _EXACT:
        raise NotACount(f"{text} is over 2^53, where counts are no longer exact")
    return value


def increments(
    columns: Mapping[K, Sequence[Sample]],
    start: int,
    end: int,
    *,
    base: Mapping[K, str] | None = None,
    from_zero: bool = False,
) -> dict[K, int]:
    """Increments over ``(start, end]`` of counters that live and restart together (the buckets of one histogram).

    Args:
        columns: Samples by counter, in order of time; all counters have samples at the same moments.
        start: Milliseconds, exclusive.
        end: Milliseconds, inclusive.
        base: The last values before the first sample given, when they are known from elsewhere.
        from_zero: Whether counters without a value at or before ``start`` began at zero. When not, their first sample
            is only where counting starts.

    Raises:
        NotACount: a sample that is needed is no whole count.
    """
    keys = list(columns)
    rows = list(zip(*(columns[key] for key in keys), strict=True))
    previous: list[int] | None = None
    if base is not None and all(key in base for key in keys):
        previous = [whole(base[key]) for key in keys]
    before = [index for index, row in enumerate(rows) if row[0][0] <= start]
    if before:
        previous = [whole(value) for _, value in rows[before[-1]]]
        rows = rows[before[-1] + 1 :]
    totals = [0] * len(keys)
    for row in rows:
        if row[0][0] > end:
            break
        now = [whole(value) for _, value in row]
        if previous is None:
            gained = now if from_zero else [0] * len(keys)
        elif any(value < was for value, was in zip(now, previous, strict=True)):
            gained = now
        else:
            gained = [value - was for value, was in zip(now, previous, strict=True)]
        totals = [total + more for total, more in zip(totals, gained, strict=True)]
        previous = now
    return dict(zip(keys, totals, strict=True))
