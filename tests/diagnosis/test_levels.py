"""Kinds ``value`` and ``threshold``: which instance, or which series of a query, stands beyond the others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from coalmine.diagnosis import Found, rank
from coalmine.diagnosis.levels import _beyond
from coalmine.records import ArmCounts, LabelBreakdown, LabelCounts, MetricBreakdown
from coalmine.spec.metrics import Limits, Metric

MEMORY = Metric(name="memory", kind="value", values="memory_bytes")
POOL: dict[str, tuple[list[float], list[float]]] = {f"old-{n}": ([], [100.0 + n]) for n in range(8)}
Levels = dict[str, tuple[list[float], list[float]]]


def ranked(values: Levels, metric: Metric = MEMORY, *, compare: bool = True) -> Found:
    label = LabelBreakdown(
        label="instance",
        values=[
            LabelCounts(
                value=value,
                canary=ArmCounts(total=len(canary), values=canary),
                baseline=ArmCounts(total=len(baseline), values=baseline),
            )
            for value, (canary, baseline) in values.items()
        ],
    )
    return rank(metric, MetricBreakdown(metric=metric.name, labels=[label]), compare=compare)


def test_the_instance_beyond_the_pool_of_the_baseline_is_named() -> None:
    found = ranked({**POOL, "new-1": ([102.0], []), "new-2": ([180.0], []), "new-3": ([101.0], [])})
    assert found.sentence == "memory: instance new-2 carries 100 % of the excess with 33 % of the instances"
    top = found.rankings[0].values[0]
    assert (top.canary_level, top.baseline_level, top.excess) == (180.0, 103.5, 76.5)
    assert top.chance == pytest.approx(3 * (top.p or 0.0))
    assert top.chance < 1e-3


def test_a_rise_everywhere_names_no_instance() -> None:
    found = ranked({**POOL, "new-1": ([180.0], []), "new-2": ([182.0], []), "new-3": ([181.0], [])})
    assert found.sentence == "memory: spread out, no value of instance stands out"


def test_an_instance_within_the_pool_is_chance() -> None:
    found = ranked({**POOL, "new-1": ([106.0], []), "new-2": ([100.0], [])})
    assert "stands out" in found.sentence
    few = {"old-1": ([], [100.0]), "new-1": ([100.0], []), "new-2": ([900.0], [])}
    assert not ranked(few).rankings[0].stands_out, "one instance tells nothing of the spread"


def test_a_value_both_have_is_compared_with_its_own() -> None:
    found = ranked({"eu": ([150.0, 151.0], [150.0, 152.0, 151.0]), "us": ([90.0, 91.0], [50.0, 51.0, 52.0])})
    top, other = found.rankings[0].values
    assert (top.value, top.baseline_level, top.canary_total) == ("us", 51.0, 2)
    assert other.excess < 0


def test_where_less_is_worse() -> None:
    down = MEMORY.model_copy(update={"direction": "down"})
    found = ranked({**POOL, "new-1": ([102.0], []), "new-2": ([20.0], [])}, down)
    assert found.rankings[0].values[0].value == "new-2"
    assert found.rankings[0].values[0].excess == 83.5


@pytest.mark.parametrize("values", [{}, POOL, {**POOL, "new-1": ([180.0], [])}, {"a": ([1.0], []), "b": ([2.0], [])}])
def test_one_instance_or_no_pool_says_nothing(values: Levels) -> None:
    assert ranked(values).rankings == []


def threshold(query: str, **limits: float) -> Metric:
    return Metric(name="queue", kind="threshold", query=query, limits=Limits.model_validate(limits))


def test_series_of_a_maximum_are_held_against_the_limit() -> None:
    values: Levels = {"a": ([2.0, 9.0], []), "b": ([1.0], []), "c": ([4.0], [])}
    found = ranked(values, threshold("max(queue)", max=5))
    assert found.sentence == "queue: instance a carries 100 % of the excess with 50 % of the instances"
    assert [value.excess for value in found.rankings[0].values] == [4.0, 0.0, 0.0]
    assert found.rankings[0].values[0].p is None
    low = ranked({"a": ([0.2], []), "b": ([3.0], []), "c": ([4.0], [])}, threshold("min(ready)", min=1))
    assert low.rankings[0].values[0].value == "a"


def test_the_limit_of_a_sum_is_shared_out() -> None:
    values: Levels = {"a": ([9.0], []), "b": ([1.0], []), "c": ([1.0], []), "d": ([1.0], [])}
    found = ranked(values, threshold(" sum (queue)", max=8))
    top = found.rankings[0].values[0]
    assert (top.value, top.excess) == ("a", 7.0)
    assert found.rankings[0].stands_out
    even: Levels = {name: ([3.0], []) for name in "abcd"}
    assert not ranked(even, threshold("sum(queue)", max=8)).rankings[0].stands_out


def test_the_chance_is_students() -> None:
    rng = np.random.default_rng(2)
    # With one instance in an arm, the pooled spread is the other's alone.
    pool, one = rng.normal(10, 2, 9).tolist(), [15.0]
    assert _beyond(one, pool, 1) == pytest.approx(ttest_ind(one, pool, alternative="greater").pvalue)
    assert _beyond(one, pool, -1) == pytest.approx(ttest_ind(one, pool, alternative="less").pvalue)
    assert (_beyond([2.0], [1.0, 1.0], 1), _beyond([1.0], [1.0, 1.0], 1)) == (0.0, 1.0)
