"""The live version against itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from scipy.stats import beta

from coalmine.backtest.splits import observations, split_traces, upper_limit
from coalmine.records import ArmCounts, MetricCounts
from tests.backtest.traces import START, TEN, errors, latency, ratio


def part(total: int, events: int) -> MetricCounts:
    return MetricCounts(metric="errors", canary=ArmCounts(total=total, events=events))


def histogram(buckets: list[int], bounds: list[float]) -> MetricCounts:
    return MetricCounts(metric="latency", bounds=bounds, canary=ArmCounts(total=sum(buckets), buckets=buckets))


def test_one_value_stands_against_the_sum_of_the_others() -> None:
    look = {
        "a": [part(10, 1), histogram([1, 2, 3], [0.1, 1.0])],
        "b": [part(20, 2), histogram([4, 5, 6], [0.1, 1.0])],
        "c": [part(30, 3), histogram([7, 8], [1.0])],
    }
    assert observations(look, ["a"]) == {
        "errors": {"canary": ratio(1, 10), "baseline": ratio(5, 50)},
        "latency": {
            "canary": {"le": [0.1, 1.0, "+Inf"], "counts": [1, 2, 3]},
            "baseline": {"le": [1.0, "+Inf"], "counts": [16, 14]},
        },
    }


def test_a_gap_of_one_is_missing_and_of_one_among_others_is_left_out() -> None:
    gap = MetricCounts(metric="errors", status="no_data", reason="stale")
    look = {"a": [gap], "b": [part(20, 2)], "c": [part(30, 3)]}
    assert observations(look, ["a"]) == {"errors": {"canary": None, "baseline": ratio(5, 50)}}
    assert observations(look, ["b"]) == {"errors": {"canary": ratio(2, 20), "baseline": ratio(3, 30)}}


def test_no_bound_in_common_is_no_data() -> None:
    look = {"a": [histogram([1, 1], [0.1])], "b": [histogram([1, 1], [0.2])], "c": [histogram([1, 1], [0.3])]}
    assert observations(look, ["a"])["latency"]["baseline"] is None


def test_a_period_is_cut_into_releases_of_whole_length() -> None:
    looks = [{"a": [part(10, 1)], "b": [part(20 + n, 2)]} for n in range(7)]
    at = [START + n * TEN for n in range(7)]
    traces = split_traces("pod", at, looks, [errors(), latency()], 3)
    assert [(trace.name, trace.looks) for trace in traces] == [
        ("pod=a 2026-01-01T00:00:00Z", 3),
        ("pod=b 2026-01-01T00:00:00Z", 3),
        ("pod=a 2026-01-01T00:00:30Z", 3),
        ("pod=b 2026-01-01T00:00:30Z", 3),
    ]
    assert traces[2].columns["errors"].totals.tolist() == [[10, 10, 10], [23, 24, 25]]
    assert traces[2].at[0] == START + timedelta(seconds=30)
    assert traces[0].new_steps == (False,) * 3


@pytest.mark.parametrize(("events", "runs"), [(0, 40), (3, 40), (39, 40)])
def test_the_limit_of_a_share(events: int, runs: int) -> None:
    assert upper_limit(events, runs) == pytest.approx(beta.ppf(0.95, events + 1, runs - events))
    assert upper_limit(runs, runs) == 1.0
