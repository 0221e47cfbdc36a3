"""The fake source itself: counts that tile, change when told, get lost and come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.records import ArmCounts, CollectRequest, MetricCounts, Window
from coalmine.spec.canary import Arm, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.testing.fake_source import FakeSource, Flows, Traffic, latency_shares

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RATIO = Metric(name="errors", kind="ratio")
LATENCY = Metric(name="latency", kind="latency")
BOUNDS = [0.1, 0.25, 0.5]
SOURCE = Source(url="http://fake")


def seconds(start: float, end: float) -> Window:
    return Window(start=NOW + timedelta(seconds=start), end=NOW + timedelta(seconds=end))


def flows() -> Flows:
    return Flows(Traffic(rate=97.3, errors=0.02), Traffic(rate=10.7, errors=0.3), since=NOW)


async def collect(source: FakeSource, metric: Metric, window: Window) -> MetricCounts:
    arms = Arms(baseline=Arm(version="1", backend="a"), canary=Arm(version="2", backend="b"))
    request = CollectRequest(window=window, metrics=[metric], arms=arms, sources={"prometheus": SOURCE})
    return await source.collect(SOURCE, metric, request)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6))
def test_flows_tile(cuts: list[float]) -> None:
    script = flows()
    script.change("canary", NOW + timedelta(seconds=40), Traffic(rate=50, errors=1.0))
    edges = [0.0, *sorted(cuts), 100.0]
    parts = [script("canary", RATIO, seconds(a, b)) for a, b in pairwise(edges)]
    whole = script("canary", RATIO, seconds(0, 100))
    assert sum(part.total for part in parts) == whole.total == 40 * 10.7 + 60 * 50


def test_a_flow_that_changes_changes_from_then_on() -> None:
    script = flows()
    script.change("baseline", NOW + timedelta(seconds=10), Traffic(rate=5, errors=0.2))
    assert script("baseline", RATIO, seconds(10, 20)) == ArmCounts(total=50, events=10)
    assert script("baseline", RATIO, seconds(0, 10)).total == 973


def test_shares_of_a_latency_sum_to_one_and_have_their_median() -> None:
    shares = latency_shares(BOUNDS, 0.25)
    assert sum(shares) == pytest.approx(1)
    assert shares[0] + shares[1] == pytest.approx(0.5)


async def test_what_is_lost_has_no_data_until_a_longer_window_catches_up() -> None:
    source = FakeSource(flows(), clock=lambda: NOW + timedelta(hours=1))
    source.lose(seconds(10, 30), "stale since noon", arms=["canary"])
    lost = await collect(source, RATIO, seconds(10, 20))
    assert (lost.status, lost.reason) == ("no_data", "canary: stale since noon")
    caught_up = await collect(source, RATIO, seconds(10, 40))
    assert caught_up.canary == ArmCounts(total=321, events=96)


async def test_a_script_with_the_wrong_buckets_is_told() -> None:
    source = FakeSource(flows(), bounds=BOUNDS, clock=lambda: NOW + timedelta(hours=1))
    with pytest.raises(ValueError, match="4 buckets are needed"):
        await collect(source, LATENCY, seconds(0, 10))
