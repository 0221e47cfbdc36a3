"""Kind ``count``: events without requests are held against the canary's part of the traffic."""

from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import binomtest

from coalmine.diagnosis import Found, rank
from coalmine.records import ArmCounts, LabelBreakdown, LabelCounts, MetricBreakdown
from coalmine.spec.metrics import Metric

KILLS = Metric(name="kills", kind="count", events="kills_total")
ORDERS = Metric(name="orders", kind="count", events="orders_total", direction="down")


def ranked(values: dict[str, tuple[int, int]], metric: Metric = KILLS, **options: Any) -> Found:
    label = LabelBreakdown(
        label="reason",
        of_events=True,
        values=[
            LabelCounts(value=value, canary=ArmCounts(events=canary), baseline=ArmCounts(events=baseline))
            for value, (canary, baseline) in values.items()
        ],
    )
    options = {"compare": True, "share": 0.1} | options
    return rank(metric, MetricBreakdown(metric=metric.name, labels=[label]), **options)


def test_the_reason_beyond_its_part_of_the_traffic_is_named() -> None:
    found = ranked({"oom": (40, 18), "liveness": (3, 27)})
    assert found.sentence == "kills: 100 % of the excess is reason oom"
    top, other = found.rankings[0].values
    assert top.excess == pytest.approx(40 - 18 / 9)
    assert top.traffic is None
    assert top.p == pytest.approx(binomtest(40, 58, 0.1, alternative="greater").pvalue)
    assert top.chance == pytest.approx(2 * (top.p or 0.0))
    assert other.excess == pytest.approx(0.0)


def test_without_a_share_only_what_is_spread_otherwise_shows() -> None:
    found = ranked({"oom": (40, 400), "liveness": (41, 410)}, share=None)
    assert all(abs(value.excess) < 1 for ranking in found.rankings for value in ranking.values)
    assert found.sentence == "kills: no label tells more"
    assert ranked({"oom": (40, 5), "liveness": (4, 400)}, share=None).sentence.endswith("the excess is reason oom")


def test_each_instance_is_held_against_its_part_of_the_whole_baseline() -> None:
    pods = {f"old-{n}": (0, 10) for n in range(9)} | {"new-1": (3, 0), "new-2": (30, 0)}
    found = ranked(pods)
    assert found.sentence == "kills: reason new-2 carries 100 % of the excess with 50 % of the traffic"
    assert [value.value for value in found.rankings[0].values] == ["new-2", "new-1"]
    assert found.rankings[0].values[0].excess == pytest.approx(30 - 90 / 9 / 2)
    alone = {f"old-{n}": (0, 10) for n in range(9)} | {"new-1": (30, 0)}
    assert ranked(alone).rankings == [], "the only instance of the canary is no news"


def test_where_less_is_worse_what_is_missing_is_the_excess() -> None:
    found = ranked({"card": (2, 360), "cash": (40, 360)}, ORDERS)
    assert found.sentence == "orders: 100 % of the excess is reason card"
    assert found.rankings[0].values[0].excess == pytest.approx(38)
    assert found.rankings[0].values[0].p == pytest.approx(binomtest(2, 362, 0.1, alternative="less").pvalue)


@pytest.mark.parametrize("values", [{}, {"oom": (0, 5)}, {"oom": (0, 0)}, {"oom": (1, 9), "x": (1, 9)}])
def test_nothing_beyond_the_traffic_says_nothing(values: dict[str, tuple[int, int]]) -> None:
    assert ranked(values).rankings == []


def test_in_the_bake_nothing_is_expected_and_nothing_is_beyond_chance() -> None:
    found = ranked({"oom": (9, 0), "liveness": (1, 0)}, compare=False)
    assert [value.share for value in found.rankings[0].values] == [0.9, 0.1]
    assert not found.rankings[0].stands_out


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_at_the_end_of_the_scale_is_not_known(share: float) -> None:
    assert ranked({"oom": (40, 18), "liveness": (3, 27)}, share=share).rankings[0].values[0].value == "oom"
