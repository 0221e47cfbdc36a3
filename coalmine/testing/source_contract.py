"""The contract every metric source keeps, as tests: subclass, give a fixture ``world``, and pytest runs them.

class TestMyStore(MetricSourceContract):
    @pytest.fixture
    def world(self): ...   # a SourceWorld over your store
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import pytest

from activities.sources.base import MetricSource, break_down
from coalmine.errors import SourceUnreachable
from coalmine.records import ArmCounts, BreakdownRequest, CollectRequest, MetricCounts, Window
from coalmine.spec.canary import Arm, ArmName, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source


@dataclass(frozen=True)
class Happened:
    """What an arm's requests did: how many came, how many failed, how many fell into each latency bucket."""

    total: int = 0
    events: int = 0
    buckets: tuple[int, ...] = (0, 0, 0)
    """Per bucket (not cumulative), bounds 0.1 s and 0.25 s, then +Inf."""


class SourceWorld(Protocol):
    """A store that a test can make things happen in."""

    adapter: MetricSource
    source: Source
    arms: Arms
    ratio: Metric
    latency: Metric
    """Bounds 0.1 s and 0.25 s."""

    async def happen(self, arms: Mapping[ArmName, Happened]) -> Window:
        """Let this happen, and return the window that holds it and nothing else, ready to be collected.

        Windows of successive calls tile: each starts where the one before ended. The first call's window starts after
        the store has seen both arms.
        """
        ...

    async def go_down(self) -> None:
        """Make the store unreachable."""
        ...


NOTHING = Happened()


class MetricSourceContract:
    """Tests; each takes the fixture ``world``."""

    async def test_counts_are_the_exact_integers_that_happened(self, world: SourceWorld) -> None:
        window = await world.happen({"baseline": Happened(1427, 25), "canary": Happened(154, 3)})
        counts = await collect(world, world.ratio, window)
        assert counts.status == "ok", counts.reason
        assert counts.baseline is not None
        assert counts.canary is not None
        assert (counts.baseline.total, counts.baseline.events) == (1427, 25)
        assert (counts.canary.total, counts.canary.events) == (154, 3)
        assert counts.queries

    async def test_buckets_are_per_bucket_with_bounds_in_seconds(self, world: SourceWorld) -> None:
        window = await world.happen({
            "baseline": Happened(60, 0, (50, 7, 3)), "canary": Happened(9, 0, (0, 9, 0)),
        })  # fmt: skip
        counts = await collect(world, world.latency, window)
        assert counts.status == "ok", counts.reason
        assert counts.bounds == [0.1, 0.25]
        assert counts.baseline is not None
        assert counts.canary is not None
        assert (counts.baseline.total, counts.baseline.buckets) == (60, [50, 7, 3])
        assert (counts.canary.total, counts.canary.buckets) == (9, [0, 9, 0])

    async def test_a_retry_collects_the_same_and_windows_tile(self, world: SourceWorld) -> None:
        first = await world.happen({"baseline": Happened(100, 2), "canary": Happened(11, 1)})
        once = await collect(world, world.ratio, first)
        second = await world.happen({"baseline": Happened(50), "canary": Happened(7, 7)})
        assert await collect(world, world.ratio, first) == once
        assert second.start == first.end
        whole = await collect(world, world.ratio, Window(start=first.start, end=second.end))
        assert whole.status == "ok", whole.reason
        assert whole.baseline is not None
        assert whole.canary is not None
        assert (whole.baseline.total, whole.baseline.events) == (150, 2)
        assert (whole.canary.total, whole.canary.events) == (18, 8)

    async def test_no_requests_are_zero_and_not_missing(self, world: SourceWorld) -> None:
        await world.happen({"baseline": Happened(5, 1), "canary": Happened(5, 1)})
        window = await world.happen({"baseline": Happened(40, 1), "canary": NOTHING})
        counts = await collect(world, world.ratio, window)
        assert counts.status == "ok", counts.reason
        assert counts.baseline is not None
        assert counts.canary is not None
        assert counts.baseline.total == 40
        assert (counts.canary.total, counts.canary.events) == (0, 0)

    async def test_no_failures_are_zero_events(self, world: SourceWorld) -> None:
        window = await world.happen({"baseline": Happened(40, 0), "canary": Happened(4, 0)})
        counts = await collect(world, world.ratio, window)
        assert counts.status == "ok", counts.reason
        assert counts.baseline is not None
        assert counts.canary is not None
        assert (counts.baseline.events, counts.canary.events) == (0, 0)

    async def test_without_comparing_only_the_canary_is_collected(self, world: SourceWorld) -> None:
        window = await world.happen({"baseline": Happened(40, 1), "canary": Happened(4, 2)})
        counts = await collect(world, world.ratio, window, compare=False)
        assert counts.status == "ok", counts.reason
        assert counts.baseline is None
        assert counts.canary is not None
        assert (counts.canary.total, counts.canary.events) == (4, 2)

    async def test_a_window_that_has_not_ended_has_no_data(self, world: SourceWorld) -> None:
        window = await world.happen({"baseline": Happened(40, 1), "canary": Happened(4, 2)})
        later = Window(start=window.end, end=window.end + timedelta(hours=1))
        counts = await collect(world, world.ratio, later)
        assert counts.status == "no_data"
        assert counts.reason
        assert counts.baseline is None
        assert counts.canary is None

    async def test_an_arm_nobody_knows_has_no_data_and_is_named(self, world: SourceWorld) -> None:
        window = await world.happen({"baseline": Happened(40, 1), "canary": Happened(4, 2)})
        stranger = Arms(baseline=world.arms.baseline, canary=Arm(version="9.9.9", backend="stranger"))
        counts = await collect(world, world.ratio, window, arms=stranger)
        assert counts.status == "no_data"
        assert "canary" in counts.reason
        assert "baseline" not in counts.reason

    async def test_a_store_that_is_down_is_unreachable(self, world: SourceWorld) -> None:
        window = await world.happen({"baseline": Happened(40, 1), "canary": Happened(4, 2)})
        await world.go_down()
        with pytest.raises(SourceUnreachable, match=r"\S"):
            await collect(world, world.ratio, window)
        checks = await world.adapter.check(world.source, world.ratio, world.arms)
        assert not all(check.ok for check in checks)
        assert all(check.reason for check in checks)

    async def test_several_collections_at_once_do_not_mix(self, world: SourceWorld) -> None:
        first = await world.happen({"baseline": Happened(30, 1), "canary": Happened(3, 0)})
        second = await world.happen({"baseline": Happened(300, 2), "canary": Happened(30, 1)})
        windows = [first, second] * 4
        found = await asyncio.gather(*(collect(world, world.ratio, window) for window in windows))
        totals = [counts.baseline.total for counts in found if counts.baseline is not None]
        assert totals == [30, 300] * 4

    async def test_a_breakdown_adds_up_to_the_look(self, world: SourceWorld) -> None:
        window = await world.happen({
            "baseline": Happened(1427, 25, (50, 7, 3)), "canary": Happened(154, 30, (1, 9, 7)),
        })  # fmt: skip
        labels = ["job", "instance", "version", "code", "no such label"]
        for metric in (world.ratio, world.latency):
            counts = await collect(world, metric, window)
            assert counts.baseline is not None
            assert counts.canary is not None
            request = BreakdownRequest(window=window, arms=world.arms, labels=labels)
            found = await break_down(world.adapter, world.source, metric, request)
            assert found.supported or found.reason
            assert bool(found.labels) == found.supported
            for label in found.labels:
                for arm, whole in (("baseline", counts.baseline), ("canary", counts.canary)):
                    values: list[ArmCounts] = [getattr(one, arm) for one in label.values]
                    assert sum(one.total for one in values) == whole.total
                    if whole.buckets is None:
                        assert sum(one.events or 0 for one in values) == whole.events
                    else:
                        split = [one.buckets for one in values if one.buckets is not None]
                        assert [sum(column) for column in zip(*split, strict=True)] == whole.buckets


async def collect(
    world: SourceWorld, metric: Metric, window: Window, *, compare: bool = True, arms: Arms | None = None
) -> MetricCounts:
    """One collection as the activity makes it."""
    request = CollectRequest(
        window=window,
        metrics=[metric],
        arms=arms or world.arms,
        sources={metric.source: world.source},
        compare=compare,
    )
    return await world.adapter.collect(world.source, metric, request)
