"""Flagger: failed checks are counted, and at the threshold the canary is rolled back.

Source: fluxcd/flagger, ``pkg/controller/scheduler.go`` and the built-in metrics (Apache-2.0; read, not copied). A tick
a minute: first, when the failed checks have reached the threshold, the canary is rolled back; then success rate and p99
of the last minute are compared with fixed limits, and a tick at which any fails, or has no data, is one failed check.
The count never falls during a release. The baseline is not looked at.
"""

from __future__ import annotations

import numpy as np

from benchmarks.judge.rivals.shared import MAX_P99, MIN_SUCCESS, NEVER, first
from benchmarks.judge.traffic import MINUTE, Counts, Traffic, Values, p99


def first_rollback(traffic: Traffic, threshold: int) -> Values:
    """Looks after which each run is rolled back, ``NEVER`` when it is not, [S]."""
    failed = np.cumsum(failed_checks(traffic.canary), axis=1)
    at_tick_before = np.concatenate([np.zeros((failed.shape[0], 1), int), failed[:, :-1]], axis=1)
    tick = first(at_tick_before >= threshold)
    return np.where(tick == NEVER, NEVER, tick * MINUTE)


def failed_checks(canary: Counts) -> Values:
    """Whether the check at the end of each minute fails, [S, minutes]."""
    minutes = canary.by_minute()
    requests = minutes.requests
    success = 1.0 - minutes.errors / np.maximum(requests, 1)
    slowest = np.where(requests > 0, p99(minutes.buckets), np.inf)
    result: Values = (requests == 0) | (success < MIN_SUCCESS) | (slowest > MAX_P99)
    return result
