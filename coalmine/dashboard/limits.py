"""How often somebody may do something: a bucket of tokens per person or peer, refilled steadily."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from coalmine.dashboard.people import Denied

MOST_KEPT = 10_000
"""Buckets; full ones are forgotten first."""


@dataclass(frozen=True)
class Rate:
    """``burst`` at once, then so many a minute."""

    burst: int
    a_minute: float


WRITES = Rate(20, 60)
CHECKS = Rate(30, 120)
"""Specs that are only checked: by whom pages are open to, who may be nobody."""
LOGINS = Rate(10, 20)
BAD_TOKENS = Rate(10, 20)


class Limits:
    """The buckets of one server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[Rate, str], tuple[float, float]] = {}

    def take(self, rate: Rate, who: str) -> None:
        """Take one.

        Raises:
            Denied: there is none left; says when there will be.
        """
        now = self._clock()
        left, at = self._buckets.pop((rate, who), (float(rate.burst), now))
        left = min(rate.burst, left + (now - at) * rate.a_minute / 60)
        if left < 1:
            self._buckets[rate, who] = (left, now)
            raise Denied(429, f"too often: wait {(1 - left) * 60 / rate.a_minute:.0f} s, then try again")
        self._buckets[rate, who] = (left - 1, now)
        if len(self._buckets) > MOST_KEPT:
            self._buckets.pop(next(iter(self._buckets)))
