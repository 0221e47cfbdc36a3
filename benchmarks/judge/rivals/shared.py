"""What rules have in common: when they first fire, and the two shares that tests of proportions look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.judge.traffic import MINUTE, Traffic, Values

NEVER = 10**6
ALPHA = 0.01
"""Chance of rolling back a good release that tests are set to."""
MIN_SUCCESS = 0.99
MAX_P99 = 0.5
"""Seconds. With the success rate above: the objectives of Flagger's documentation, met by the quiet releases."""


def first(fires: Values) -> Values:
    """Number of the first look, from 1, at which each run [S, T] fires; ``NEVER`` when none does."""
    return np.where(fires.any(axis=1), fires.argmax(axis=1) + 1, NEVER)


@dataclass(frozen=True)
class Proportions:
    """Events and requests of both arms up to each look, [S, T]."""

    canary_events: Values
    canary: Values
    baseline_events: Values
    baseline: Values

    @property
    def canary_share(self) -> Values:
        result: Values = self.canary_events / np.maximum(self.canary, 1)
        return result

    @property
    def baseline_share(self) -> Values:
        result: Values = self.baseline_events / np.maximum(self.baseline, 1)
        return result

    @property
    def usable(self) -> Values:
        """Where both arms have requests."""
        result: Values = (self.canary > 0) & (self.baseline > 0)
        return result


def proportions(traffic: Traffic) -> Iterator[Proportions]:
    """Errors, then requests slower than ``SLOW``, summed over the looks both arms have."""
    both = traffic.present

    def so_far(values: Values) -> Values:
        return np.cumsum(np.where(both, values, 0), axis=1).astype(float)

    canary, baseline = traffic.canary, traffic.baseline
    requests = so_far(canary.requests), so_far(baseline.requests)
    for ours, theirs in ((canary.errors, baseline.errors), (canary.slow, baseline.slow)):
        yield Proportions(so_far(ours), requests[0], so_far(theirs), requests[1])


def last_minute(values: Values) -> Values:
    """Sum over the minute that ends with each look (less at the start), [S, T, ...]."""
    total = np.cumsum(values, axis=1)
    before = np.zeros_like(total)
    before[:, MINUTE:] = total[:, :-MINUTE]
    result: Values = total - before
    return result
