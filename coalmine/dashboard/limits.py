"""How often somebody may do something: a bucket of tokens per person or peer, refilled steadily."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from coalmine.dashboard.people import Denied

MOST_KEPT = 10_000
"""Buckets of one rate; those that were touched longest ago are forgotten first."""


@dataclass(frozen=True)
class Rate:
    """``burst`` at once, then so many a minute."""

    burst: int
    a_minute: float
    what: str = ""
    """What it is for: nothing else takes from the same buckets."""


WRITES = Rate(20, 60, "writes")
CHECKS = Rate(30, 120, "checks")
"""Specs that are only checked: by whom pages are open to, who may be nobody."""
FAILED_LOGINS = Rate(10, 20, "failed logins")
"""By one client; those that succeed are not counted."""
CALLBACKS = Rate(5, 5, "callbacks")
"""With one state, each of which asks the provider; there is one for each login that was begun."""
BAD_TOKENS = Rate(10, 20, "bad tokens")


class Limits:
    """The buckets of one server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[Rate, dict[str, tuple[float, float]]] = {}

    def take(self, rate: Rate, who: str) -> None:
        """Take one.

        Raises:
            Denied: there is none left; says when there will be.
        """
        left, now = self.check(rate, who)
        buckets = self._buckets.setdefault(rate, {})
        buckets.pop(who, None)
        buckets[who] = (left - 1, now)
        if len(buckets) > MOST_KEPT:
            buckets.pop(next(iter(buckets)))

    def check(self, rate: Rate, who: str) -> tuple[float, float]:
        """How many are left, and the time; takes none.

        Raises:
            Denied: there is none left; says when there will be.
        """
        now = self._clock()
        left, at = self._buckets.get(rate, {}).get(who, (float(rate.burst), now))
        left = min(rate.burst, left + (now - at) * rate.a_minute / 60)
        if left < 1:
            # Never less than it takes: whoever waits as told is let in.
            wait = math.ceil((1 - left) * 60 / rate.a_minute)
            raise Denied(429, f"too often: wait {wait} s, then try again", wait)
        return left, now
