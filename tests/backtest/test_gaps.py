"""What a past period lacks, in words."""

from __future__ import annotations

from coalmine.backtest.gaps import gaps
from coalmine.records import ArmCounts, MetricCounts
from tests.backtest.traces import START, TEN

AT = [START, START + TEN]
FINE = MetricCounts(metric="errors", canary=ArmCounts(total=10, events=1))
STALE = MetricCounts(metric="errors", status="no_data", reason="canary: stale")


def histogram(*bounds: float) -> MetricCounts:
    counts = ArmCounts(total=1, buckets=[1] + [0] * len(bounds))
    return MetricCounts(metric="latency", bounds=list(bounds), canary=counts)


def test_nothing_is_said_of_a_period_without_gaps() -> None:
    assert gaps(AT, [{"": [FINE, histogram(0.1)]}] * 2) == []
    assert gaps(AT, [{"a": [histogram(0.1, 0.2)], "b": [histogram(0.1)]}] * 2, "pod") == []


def test_a_metric_is_told_once_with_its_first_gap() -> None:
    later = STALE.model_copy(update={"reason": "canary: NaN"})
    other = STALE.model_copy(update={"metric": "cpu"})
    assert gaps(AT, [{"": [STALE]}, {"": [later, other]}]) == [
        "cpu: 1 of 2 looks lack data, first that to 2026-01-01T00:00:10Z: canary: stale",
        "errors: 2 of 2 looks lack data, first that to 2026-01-01T00:00:00Z: canary: stale",
    ]


def test_of_a_split_the_value_is_named() -> None:
    assert gaps(AT, [{"a": [FINE], "b": [FINE]}, {"a": [FINE], "b": [STALE]}], "pod") == [
        "errors: 1 of 2 looks lack data, first that to 2026-01-01T00:00:10Z: pod=b: canary: stale"
    ]


def test_the_odd_histogram_is_named_wherever_it_stands() -> None:
    for odd in "abc":
        look = {value: [histogram(0.5 if value == odd else 0.1)] for value in "abc"}
        (said,) = gaps(AT[:1], [look], "pod")
        assert said.endswith(f"pod={odd} shares no bucket bound with the others: use the same for all")
