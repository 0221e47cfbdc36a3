"""Flagger's and Argo's counters, on hand-made hours."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.judge.rivals import argo, flagger
from benchmarks.judge.rivals.shared import NEVER
from benchmarks.judge.traffic import BOUNDS, LOOKS, MINUTE, Counts, Traffic

FAST, SLOW = 4, 8


def hour(bad_minutes: list[int] = (), slow_minutes: list[int] = (), silent_looks: list[int] = ()) -> Traffic:  # type: ignore[assignment]
    """One run: 100 requests a look, 0.5 % errors; 3 % errors in bad minutes, all over 500 ms in slow ones."""
    minute = np.arange(LOOKS) // MINUTE
    present = ~np.isin(np.arange(LOOKS), silent_looks)
    requests = np.where(present, 100, 0)[None]
    errors = np.where(present, np.where(np.isin(minute, bad_minutes), 3, np.arange(LOOKS) % 2), 0)[None]
    buckets = np.zeros((1, LOOKS, len(BOUNDS) + 1), int)
    buckets[0, np.arange(LOOKS), np.where(np.isin(minute, slow_minutes), SLOW, FAST)] = requests[0]
    arm = Counts(requests, errors, buckets, present[None])
    return Traffic(arm, arm, 0.5)


def test_flagger_rolls_back_at_the_tick_after_the_threshold_is_reached() -> None:
    bad = [3, 9, 10, 30, 41]
    assert flagger.first_rollback(hour(bad), threshold=5).tolist() == [(41 + 2) * MINUTE]
    assert flagger.first_rollback(hour(bad), threshold=1).tolist() == [(3 + 2) * MINUTE]
    assert flagger.first_rollback(hour(bad[:4]), threshold=5).tolist() == [NEVER]


def test_flagger_pools_the_metrics_and_one_tick_is_one_check() -> None:
    assert flagger.first_rollback(hour([2], [2, 7]), threshold=2).tolist() == [(7 + 2) * MINUTE]


def test_flagger_counts_a_minute_without_data_as_failed() -> None:
    silent = list(range(5 * MINUTE, 6 * MINUTE))
    assert flagger.failed_checks(hour(silent_looks=silent).canary)[0].nonzero()[0].tolist() == [5]


@pytest.mark.parametrize(("limit", "minute"), [(0, 3), (1, 9), (3, 30)])
def test_argo_aborts_once_failures_exceed_the_limit(limit: int, minute: int) -> None:
    bad = [3, 9, 10, 30, 41]
    assert argo.first_rollback(hour(bad), failure_limit=limit).tolist() == [(minute + 1) * MINUTE]


def test_argo_counts_each_metric_by_itself() -> None:
    assert argo.first_rollback(hour([3, 9], [5, 20]), failure_limit=2).tolist() == [NEVER]
    assert argo.first_rollback(hour([3, 9], [5, 20]), failure_limit=1).tolist() == [10 * MINUTE]


def test_argo_aborts_after_five_measurements_in_a_row_without_data() -> None:
    """Nothing for eleven looks: the minute's window is empty from the sixth on, six measurements ten seconds apart."""
    first = 4 * MINUTE
    assert argo.first_rollback(hour(silent_looks=list(range(first, first + 11))), 0).tolist() == [first + 10]
    assert argo.first_rollback(hour(silent_looks=list(range(first, first + 9))), 0).tolist() == [NEVER]
