"""Ranking: which value of which label carries the excess, and that chance and traffic alone carry nothing."""

from __future__ import annotations

from datetime import timedelta
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.diagnosis import rank
from coalmine.diagnosis.ranking import _beyond
from coalmine.records import ArmCounts, LabelBreakdown, LabelCounts, MetricBreakdown
from coalmine.spec.metrics import Metric, Objective

ERRORS = Metric(name="errors", kind="ratio", max=0.02)
Counts = tuple[int, int, int, int]
"""Canary events and total, baseline events and total."""


def label(name: str, of_events: bool = False, **values: Counts) -> LabelBreakdown:
    return LabelBreakdown(
        label=name,
        of_events=of_events,
        values=[
            LabelCounts(value=value, canary=ArmCounts(total=n, events=e), baseline=ArmCounts(total=m, events=b))
            for value, (e, n, b, m) in values.items()
        ],
    )


def ranked(*labels: LabelBreakdown, metric: Metric = ERRORS, compare: bool = True) -> tuple[list[str], str]:
    found = rank(metric, MetricBreakdown(metric=metric.name, labels=list(labels)), compare=compare)
    return [f"{ranking.label}={ranking.values[0].value}" for ranking in found.rankings], found.sentence


def test_the_route_that_carries_the_regression_is_named() -> None:
    by_route = label("route", pay=(92, 400, 9, 3600), cart=(2, 800, 16, 7200), home=(1, 800, 15, 7200))
    by_region = label("region", eu=(48, 1000, 20, 9000), us=(47, 1000, 20, 9000))
    order, sentence = ranked(by_region, by_route)
    assert order == ["route=pay", "region=eu"]
    assert sentence == "errors: route pay carries 100 % of the excess with 20 % of the traffic"


def test_a_status_code_is_compared_over_all_traffic() -> None:
    codes = label("code", True, **{"200": (0, 1905, 0, 17960), "502": (90, 90, 5, 5), "500": (5, 5, 35, 35)})
    order, sentence = ranked(codes)
    assert order == ["code=502"]
    assert sentence == "errors: 99 % of the excess is code 502"


def test_requests_of_an_arm_are_told_where_the_label_is_on_events_alone() -> None:
    codes = label("class", True, **{"5": (40, 0, 20, 0)}).model_copy(
        update={"canary_total": 1000, "baseline_total": 9000}
    )
    top = rank(ERRORS, MetricBreakdown(metric="errors", labels=[codes]), compare=True).rankings[0]
    assert top.values[0].excess == pytest.approx(40 - 20 / 9, abs=1e-4)
    assert top.stands_out


def test_instances_only_the_canary_has_are_compared_with_the_whole_baseline() -> None:
    pods = {f"new-{n}": (2, 200, 0, 0) for n in range(9)} | {f"old-{n}": (0, 0, 20, 2000) for n in range(10)}
    order, sentence = ranked(label("pod", False, bad=(80, 200, 0, 0), **pods))
    assert order == ["pod=bad"]
    assert sentence.startswith("errors: pod bad carries 100 % of the excess with 10 % of the traffic")


def test_a_regression_everywhere_names_nobody() -> None:
    even = label("route", a=(50, 1000, 90, 9000), b=(48, 1000, 95, 9000), c=(52, 1000, 92, 9000))
    assert ranked(even) == (["route=c"], "errors: spread out, no value of route stands out")


def test_the_largest_route_is_not_guilty_of_being_large() -> None:
    order, sentence = ranked(label("route", big=(95, 1900, 90, 17100), small=(5, 100, 5, 900)))
    assert order == ["route=big"]
    assert "no value of route stands out" in sentence


def test_few_events_prove_nothing() -> None:
    _, sentence = ranked(label("route", a=(2, 100, 0, 900), b=(0, 900, 4, 8100)))
    assert "stands out" in sentence


def test_a_label_with_one_value_says_nothing() -> None:
    assert ranked(label("region", eu=(95, 2000, 40, 18000))) == ([], "errors: no label tells more")


def test_without_a_baseline_the_limit_stands_in() -> None:
    order, sentence = ranked(label("route", pay=(90, 400, 0, 0), rest=(16, 1600, 0, 0)), compare=False)
    assert order == ["route=pay"]
    assert sentence == "errors: route pay carries 100 % of the excess with 20 % of the traffic"
    assert ranked(label("route", a=(1, 400, 0, 0), b=(1, 1600, 0, 0)), compare=False)[0] == []


def test_slow_requests_are_those_beyond_the_objective() -> None:
    metric = Metric(name="latency", kind="latency", objective=Objective(under=timedelta(milliseconds=250), share=0.99))
    values = [
        LabelCounts(value=value, canary=ArmCounts(total=sum(c), buckets=c), baseline=ArmCounts(total=sum(b), buckets=b))
        for value, c, b in (("pay", [100, 50, 150], [900, 90, 10]), ("rest", [600, 90, 10], [5400, 800, 100]))
    ]
    found = MetricBreakdown(metric="latency", bounds=[0.1, 0.25], labels=[LabelBreakdown(label="route", values=values)])
    ranking = rank(metric, found, compare=True)
    assert ranking.sentence.startswith("latency (slower than 250 ms): route pay carries 100 % of the excess")
    assert ranking.rankings[0].values[0].canary_events == 150
    without = metric.model_copy(update={"objective": None})
    assert rank(without, found, compare=True).sentence.startswith("latency (slower than 250 ms): ")


@given(st.integers(0, 30), st.integers(1, 30), st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_the_tail_of_the_binomial_is_exact(events: int, trials: int, p: float) -> None:
    exact = sum(comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(events, trials + 1))
    assert _beyond(events, trials, p) == pytest.approx(min(exact, 1.0), abs=1e-9)


cells = st.tuples(st.integers(0, 50), st.integers(0, 10**12), st.integers(0, 50), st.integers(0, 10**12))


@given(st.dictionaries(st.text(max_size=3), cells, max_size=20), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_counts_give_shares_that_add_up(values: dict[str, Counts], of_events: bool, compare: bool) -> None:
    whole = {value: (e, max(e, n), b, max(b, m)) for value, (e, n, b, m) in values.items()}
    breakdown = label("x", of_events)
    breakdown.values = [
        LabelCounts(value=v, canary=ArmCounts(total=n, events=e), baseline=ArmCounts(total=m, events=b))
        for v, (e, n, b, m) in whole.items()
    ]
    found = rank(ERRORS, MetricBreakdown(metric="errors", labels=[breakdown]), compare=compare)
    for ranking in found.rankings:
        shares = [value.share for value in ranking.values]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1.001
        assert all(0 <= value.chance <= 1 for value in ranking.values)
        assert len(ranking.values) <= 8


@given(st.permutations("abc"))
@settings(max_examples=6, deadline=None)
def test_the_order_of_values_says_nothing(names: list[str]) -> None:
    values = {"a": (9, 90, 1, 900), "b": (9, 90, 1, 900), "c": (1, 90, 1, 900)}
    assert ranked(label("x", False, **{name: values[name] for name in names})) == ranked(label("x", False, **values))
