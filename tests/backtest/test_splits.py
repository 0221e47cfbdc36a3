"""The live version against itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from scipy.stats import beta

from coalmine.backtest.splits import observations, split_traces, upper_limit
from coalmine.errors import InputError
from coalmine.records import ArmCounts, BurnCounts, MetricCounts
from coalmine.spec.metrics import Metric, Slo
from tests.backtest.traces import START, TEN, errors, latency, ratio

METRICS = [errors(), latency()]
NOTHING = {"canary": None, "baseline": None}


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
    assert observations(look, ["a"], METRICS) == {
        "errors": {"canary": ratio(1, 10), "baseline": ratio(5, 50)},
        "latency": {
            "canary": {"le": [0.1, 1.0, "+Inf"], "counts": [1, 2, 3]},
            "baseline": {"le": [1.0, "+Inf"], "counts": [16, 14]},
        },
    }


def test_a_gap_of_one_is_missing_and_of_one_among_others_is_left_out() -> None:
    gap = MetricCounts(metric="errors", status="no_data", reason="stale")
    look = {"a": [gap], "b": [part(20, 2)], "c": [part(30, 3)]}
    assert observations(look, ["a"], METRICS)["errors"] == {"canary": None, "baseline": ratio(5, 50)}
    assert observations(look, ["b"], METRICS) == {
        "errors": {"canary": ratio(2, 20), "baseline": ratio(3, 30)},
        "latency": NOTHING,
    }


def test_no_bound_in_common_is_no_data() -> None:
    look = {"a": [histogram([1, 1], [0.1])], "b": [histogram([1, 1], [0.2])], "c": [histogram([1, 1], [0.3])]}
    assert observations(look, ["a"], METRICS)["latency"]["baseline"] is None


def test_no_bound_in_common_with_the_others_is_no_data_of_either() -> None:
    look = {"a": [histogram([1, 1], [0.1])], "b": [histogram([1, 1], [0.2])], "c": [histogram([1, 1], [0.2])]}
    assert observations(look, ["a"], [latency()]) == {"latency": NOTHING}


def test_a_sum_that_no_evidence_can_keep_is_no_data() -> None:
    look = {"a": [part(10, 1)], "b": [part(2**53, 2)], "c": [part(2**53, 3)]}
    assert observations(look, ["a"], [errors()])["errors"] == {"canary": ratio(1, 10), "baseline": None}
    assert split_traces("pod", [START], [look], [errors()], 1)[0].looks == 1


def test_a_look_that_cannot_be_names_its_time() -> None:
    fine, wrong = histogram([1, 1], [0.1]), histogram([1, 1, 1], [-0.1, 0.1])
    looks = [{"a": [fine], "b": [fine]}, {"a": [fine], "b": [wrong]}]
    said = r"^pod=b, look to 2026-01-01T00:00:10Z: observations\.latency\.canary\.le\[0\]: -0\.1 is no bound"
    with pytest.raises(InputError, match=said):
        split_traces("pod", [START, START + TEN], [{"b": one["b"], "a": one["a"]} for one in looks], [latency()], 2)


def test_instances_events_and_burn_windows_are_those_of_all_the_others() -> None:
    def counted(value: float, events: int) -> list[MetricCounts]:
        burn = [BurnCounts(seconds=60.0, total=10 * events, events=events)]
        return [
            MetricCounts(metric="cpu", canary=ArmCounts(values=[value]), seconds=10.0),
            MetricCounts(metric="restarts", canary=ArmCounts(events=events)),
            MetricCounts(metric="slo", canary=ArmCounts(total=5, events=1, burn=burn)),
        ]

    look = {"a": counted(0.5, 1), "b": counted(0.25, 2), "c": counted(0.75, 4)}
    metrics = [
        Metric(name="cpu", kind="value"),
        Metric(name="restarts", kind="count"),
        Metric(name="slo", kind="slo", slo=Slo(objective=0.99)),
    ]
    assert observations(look, ["b"], metrics) == {
        "cpu": {"canary": {"values": [0.25]}, "baseline": {"values": [0.5, 0.75]}},
        "restarts": {"canary": {"events": 2}, "baseline": {"events": 5}},
        "slo": {
            "canary": {"events": 1, "total": 5, "burn": [{"seconds": 60.0, "total": 20, "events": 2}]},
            "baseline": {"events": 2, "total": 10, "burn": [{"seconds": 60.0, "total": 50, "events": 5}]},
        },
    }


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
