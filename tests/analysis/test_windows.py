"""What a look may bring, and how it is refused."""

from __future__ import annotations

import pytest

from coalmine.analysis.windows import Arm, MetricWindow, read_windows
from coalmine.errors import InputError
from coalmine.records import ArmCounts, MetricCounts
from tests.analysis.looks import errors, histogram, latency, ratio, silent

BOTH = (errors(), latency())


def test_windows_come_in_the_order_of_the_metrics() -> None:
    read = read_windows(BOTH, [histogram([1, 2, 3], [4, 5, 6], [0.1, 0.2]), ratio(1, 10, 2, 90)], compare=True)
    assert read == [
        MetricWindow(BOTH[0], Arm(10, 1), Arm(90, 2)),
        MetricWindow(BOTH[1], Arm(6, 0, (1, 2, 3)), Arm(15, 0, (4, 5, 6)), (0.1, 0.2)),
    ]


def test_alone_the_baseline_is_not_read() -> None:
    wrong = ratio(1, 10, -2, -90)
    assert read_windows([errors()], [wrong], compare=False) == [MetricWindow(errors(), Arm(10, 1))]
    alone = MetricCounts(metric="errors", canary=ArmCounts(total=10, events=1))
    assert read_windows([errors()], [alone], compare=False)[0].missing == ""


@pytest.mark.parametrize(
    ("counts", "compare", "missing"),
    [
        ([], True, "no counts in this look"),
        ([silent()], True, "stale: no sample for 2m"),
        ([silent(reason="")], True, "no data"),
        ([MetricCounts(metric="errors", baseline=ArmCounts(total=1, events=0))], True, "the canary has no counts"),
        ([MetricCounts(metric="errors", baseline=ArmCounts(total=1, events=0))], False, "the canary has no counts"),
        ([MetricCounts(metric="errors", canary=ArmCounts(total=1, events=0))], True, "the baseline has no counts"),
    ],
)
def test_what_is_missing_is_named(counts: list[MetricCounts], compare: bool, missing: str) -> None:
    assert read_windows([errors()], counts, compare=compare) == [MetricWindow(errors(), missing=missing)]


def test_a_histogram_needs_bounds() -> None:
    read = read_windows([latency()], [histogram([3], [4], [])], compare=True)
    assert read[0].missing == "the histogram has no bounds"
    absent = histogram([3], [4], []).model_copy(update={"bounds": None})
    assert read_windows([latency()], [absent], compare=True)[0].missing == "the histogram has no bounds"
    assert read_windows([errors()], [ratio(1, 2, 3, 4)], compare=True)[0].missing == ""


@pytest.mark.parametrize(
    ("canary", "message"),
    [
        (ArmCounts(total=-1, events=0), "counts.errors.canary.total: -1 is negative: give the requests of the window"),
        (ArmCounts(total=1, events=-1), "counts.errors.canary.events: -1 is negative: give the events of the window"),
        (
            ArmCounts(total=1),
            "counts.errors.canary.events: missing: give the events of the window, 0 when there were none",
        ),
    ],
)
def test_a_wrong_ratio_is_refused(canary: ArmCounts, message: str) -> None:
    counts = MetricCounts(metric="errors", canary=canary, baseline=ArmCounts(total=1, events=0))
    with pytest.raises(InputError) as refused:
        read_windows([errors()], [counts], compare=True)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("buckets", "bounds", "message"),
    [
        (None, [0.1], "counts.latency.baseline.buckets: missing: latency needs the requests per bucket"),
        (
            [1, 2],
            [0.1, 0.2],
            "counts.latency.baseline.buckets: 2 buckets for 2 bounds: there is one for each bound and one for +Inf, "
            "so 3; both arms need the same bounds",
        ),
        ([1, -2], [0.1], "counts.latency.baseline.buckets: -2 is negative: give counts per bucket, not cumulative"),
        (
            [1, 2, 3],
            [0.2, 0.2],
            "counts.latency.bounds: [0.2, 0.2] do not rise: give upper bounds in seconds, without +Inf",
        ),
        *(
            (
                [1, 2, 3],
                [0.1, end],
                f"counts.latency.bounds: [0.1, {end}] are not all numbers: give upper bounds in seconds, without +Inf",
            )
            for end in (float("inf"), float("nan"))
        ),
    ],
)
def test_a_wrong_histogram_is_refused(buckets: list[int] | None, bounds: list[float], message: str) -> None:
    counts = histogram([1] * (len(bounds) + 1), [1], bounds)
    counts = counts.model_copy(update={"baseline": ArmCounts(total=3, buckets=buckets)})
    with pytest.raises(InputError) as refused:
        read_windows([latency()], [counts], compare=True)
    assert str(refused.value) == message


def test_counts_of_no_metric_or_of_one_twice_are_refused() -> None:
    with pytest.raises(InputError) as refused:
        read_windows(BOTH, [ratio(1, 2, 3, 4, name="cpu")], compare=True)
    assert str(refused.value) == "counts: 'cpu' is not a metric of this judge (errors, latency)"
    with pytest.raises(InputError) as refused:
        read_windows(BOTH, [ratio(1, 2, 3, 4), ratio(1, 2, 3, 4)], compare=True)
    assert str(refused.value) == "counts: 'errors' comes twice: give each metric one window a look"


def test_none_at_all_is_a_count() -> None:
    assert read_windows([errors()], [ratio(0, 0, 0, 0)], compare=True) == [MetricWindow(errors(), Arm(0, 0), Arm(0, 0))]
    empty = read_windows([latency()], [histogram([0, 0], [0, 0], [0.1])], compare=True)
    assert empty == [MetricWindow(latency(), Arm(0, 0, (0, 0)), Arm(0, 0, (0, 0)), (0.1,))]
