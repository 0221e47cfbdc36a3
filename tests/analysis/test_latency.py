"""Histograms read by hand."""

from __future__ import annotations

import numpy as np
import pytest

from coalmine.analysis import latency
from coalmine.errors import InputError


def test_requests_above_each_bound() -> None:
    assert latency.above(np.array([[1, 2, 3], [0, 0, 7]])).tolist() == [[5.0, 3.0], [7.0, 7.0]]
    assert latency.above(np.array([4])).shape == (0,)


@pytest.mark.parametrize(
    ("under", "index"), [(0.05, -1), (0.1, 0), (0.15, 0), (0.2, 1), (0.25, 2), (9.0, 2), (0.25 * (1 - 1e-12), 2)]
)
def test_the_objectives_bound_is_the_highest_at_or_below_it(under: float, index: int) -> None:
    assert latency.objective_bound([0.1, 0.2, 0.25000000000000006], under) == index


def test_the_watched_bounds_are_next_to_p97_p999_and_p90() -> None:
    # Of 10,000: 1,000 above the first bound, 300 above the second, 40 above the third, 10 above the last.
    pooled = np.array([9000, 700, 260, 30, 10])
    assert latency.choose_bounds(pooled, None).tolist() == [1, 3, 0]
    assert latency.choose_bounds(pooled, 2).tolist() == [2, 1, 3, 0]
    assert latency.choose_bounds(pooled, 1).tolist() == [1, -1, 3, 0]
    assert latency.choose_bounds(pooled, 1, distinct=False).tolist() == [1, 1, 3, 0]
    assert latency.choose_bounds(pooled, 0).tolist() == [0, 1, 3, -1]


def test_bounds_that_split_nothing_are_not_watched() -> None:
    # Nothing lies at or below the first bound, nothing above the last.
    assert latency.choose_bounds(np.array([0, 50, 50, 0]), None).tolist() == [1, -1, -1]
    assert latency.choose_bounds(np.array([0, 50, 50, 0]), None, distinct=False).tolist() == [1, 1, 1]
    assert latency.choose_bounds(np.array([0, 100, 0]), None).tolist() == [-1, -1, -1]
    assert latency.choose_bounds(np.array([0, 0, 0]), 1).tolist() == [1, -1, -1, -1]
    assert latency.choose_bounds(np.array([5]), None).tolist() == [-1, -1, -1]


def test_nearness_is_measured_in_the_logit() -> None:
    # Shares 0.2 and 0.04 above: 0.1 is nearer to 0.2 in the logit (0.81 against 0.98), though not in the share's ratio
    # by much; 0.06 is nearer to 0.04.
    pooled = np.array([8000, 1600, 400])
    assert latency.choose_bounds(pooled, None, distinct=False).tolist() == [1, 1, 0]
    # The half request added keeps a rare bound comparable: one request of 100 above it is 1.5 in 101.
    assert latency.choose_bounds(np.array([94, 5, 1]), None, distinct=False).tolist() == [1, 1, 0]


def test_batches_are_chosen_run_by_run() -> None:
    pooled = np.array([[9000, 700, 260, 30, 10], [0, 0, 0, 0, 0]])
    assert latency.choose_bounds(pooled, 2).tolist() == [[2, 1, 3, 0], [2, -1, -1, -1]]


def test_at_the_watched_bounds() -> None:
    over = np.array([[10.0, 5.0, 1.0], [20.0, 6.0, 2.0]])
    assert latency.at_bounds(over, np.array([[2, -1], [0, 1]])).tolist() == [[1.0, 0.0], [20.0, 6.0]]
    assert latency.at_bounds(np.zeros((2, 0)), np.array([[-1, -1], [0, 1]])).tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("counts", "q", "value"),
    [
        ([10, 30, 50, 10], 0.05, 0.05),
        ([10, 30, 50, 10], 0.1, 0.1),
        ([10, 30, 50, 10], 0.25, 0.15),
        ([10, 30, 50, 10], 0.5, 0.24),
        ([10, 30, 50, 10], 0.9, 0.4),
        ([10, 30, 50, 10], 0.91, 0.4),
        ([0, 0, 0, 7], 0.5, 0.4),
        ([0, 4, 0, 0], 0.5, 0.15),
        ([0, 0, 0, 0], 0.5, None),
    ],
)
def test_quantiles_are_interpolated_within_their_bucket(counts: list[int], q: float, value: float | None) -> None:
    found = latency.quantile(counts, [0.1, 0.2, 0.4], q)
    assert found == (None if value is None else pytest.approx(value))


def test_quantiles_at_the_edges() -> None:
    assert latency.quantile([5], [], 0.5) is None
    assert latency.quantile([4, 0], [-2.0], 0.5) == pytest.approx(-2.0)
    assert latency.quantile([1], [0.1], 1.0) == pytest.approx(0.1)


def test_common_bounds_keep_the_first_order() -> None:
    assert latency.common_bounds([0.1, 0.2, 0.4], [0.4, 0.1, 0.3]) == (0.1, 0.4)
    assert latency.common_bounds([0.1], [0.2]) == ()


def test_buckets_are_merged_to_coarser_bounds() -> None:
    counts = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert latency.merge_buckets(counts, [0.1, 0.2, 0.4], [0.2]).tolist() == [[3.0, 7.0], [11.0, 15.0]]
    assert latency.merge_buckets(counts, [0.1, 0.2, 0.4], [0.1, 0.4]).tolist() == [[1, 5, 4], [5, 13, 8]]
    assert latency.merge_buckets(counts, [0.1, 0.2, 0.4], []).tolist() == [[10.0], [26.0]]
    with pytest.raises(InputError) as refused:
        latency.merge_buckets(counts, [0.1, 0.2, 0.4], [0.1, 0.3])
    assert str(refused.value) == "bounds: 0.3 s is not among the histogram's bounds: merge to bounds both have"
