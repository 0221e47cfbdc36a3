"""Argo Rollouts: a background analysis with ``failureLimit``.

Source: argoproj/argo-rollouts, ``analysis/analysis.go`` (Apache-2.0; read, not copied). Every minute two metrics are
measured over the last minute: success rate and p99, against fixed limits. A metric whose failed measurements exceed
the limit aborts the rollout. A measurement without data is an error: it is repeated after ten seconds, and more than
four errors in a row abort as well. The documentation's example asks for 95 % success, with which no fault below 5 %
would ever be seen; the stricter objectives that Flagger documents are used instead.
"""

from __future__ import annotations

import numpy as np

from benchmarks.judge.rivals.shared import MAX_P99, MIN_SUCCESS, NEVER, first, last_minute
from benchmarks.judge.traffic import MINUTE, Traffic, Values, p99

MOST_ERRORS = 4


def first_rollback(traffic: Traffic, failure_limit: int) -> Values:
    """Looks after which each run is aborted, ``NEVER`` when it is not, [S]."""
    requests, errors, buckets = (
        last_minute(values) for values in (traffic.canary.requests, traffic.canary.errors, traffic.canary.buckets)
    )
    at = slice(MINUTE - 1, None, MINUTE)
    failures = (
        1.0 - errors[:, at] / np.maximum(requests[:, at], 1) < MIN_SUCCESS,
        np.where(requests[:, at] > 0, p99(buckets[:, at]), 0.0) > MAX_P99,
    )
    measured = requests[:, at] > 0
    minutes = [first(np.cumsum(failure & measured, axis=1) > failure_limit) for failure in failures]
    failed = np.minimum(*(np.where(minute == NEVER, NEVER, minute * MINUTE) for minute in minutes))
    return np.minimum(failed, without_data(requests == 0))


def without_data(missing: Values) -> Values:
    """Look at which a measurement and its repetitions, ten seconds apart, have failed five times in a row, [S]."""
    row = np.zeros(missing.shape[0], int)
    found = np.full(missing.shape[0], NEVER)
    for look in range(missing.shape[1]):
        due = (look % MINUTE == MINUTE - 1) | (row > 0)
        row = np.where(missing[:, look] & due, row + 1, 0)
        found = np.where((row > MOST_ERRORS) & (found == NEVER), look + 1, found)
    return found
