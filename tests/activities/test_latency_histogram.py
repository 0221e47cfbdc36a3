"""Percentiles at most one percent off, in constant memory."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from activities.latency_histogram import GROWTH, LARGEST, SMALLEST, LatencyHistogram


@given(st.lists(st.floats(SMALLEST, LARGEST), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_the_true_one_or_up_to_a_percent_more(latencies: list[float], share: float) -> None:
    histogram = LatencyHistogram()
    for latency in latencies:
        histogram.add(latency)
    true = sorted(latencies)[math.ceil(share * len(latencies)) - 1]
    assert true * (1 - 1e-9) <= histogram.percentile(share) <= true * GROWTH * (1 + 1e-9)
    assert histogram.maximum == max(latencies)
    assert histogram.count == len(latencies)


def test_nothing_counted_is_zero() -> None:
    assert LatencyHistogram().percentile(0.99) == 0


def test_what_lies_outside_is_counted_at_the_edge() -> None:
    histogram = LatencyHistogram()
    histogram.add(0.0)
    histogram.add(LARGEST * 10)
    assert histogram.percentile(0.5) == SMALLEST
    assert LARGEST <= histogram.percentile(1.0) <= LARGEST * 10
