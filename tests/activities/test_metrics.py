"""The activity ``collect``: every metric answers for itself, and nothing makes the look fail."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.metrics import MetricsActivities
from coalmine.errors import CoalmineError, QueryRejected, SourceUnreachable
from coalmine.records import ArmCounts, Collected, CollectRequest, Drift, MetricCounts, RouteWatch, Weights, Window
from coalmine.spec.canary import Arm, Arms, Route
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.testing.fake_router import FakeRouter
from coalmine.testing.fake_source import FakeSource, Flows, Traffic, fake_sources, latency_shares

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BOUNDS = [0.1, 0.25, 0.5]
ARMS = Arms(baseline=Arm(version="1", backend="v1"), canary=Arm(version="2", backend="v2"))
STEADY = Traffic(rate=100, errors=0.02, buckets=latency_shares(BOUNDS, 0.12))


def fake() -> FakeSource:
    return FakeSource(
        Flows(STEADY, Traffic(rate=10, errors=0.1, buckets=STEADY.buckets)), bounds=BOUNDS, clock=lambda: NOW
    )


def request(**changes: Any) -> CollectRequest:
    fields: dict[str, Any] = {
        "window": Window(start=NOW - timedelta(seconds=30), end=NOW),
        "metrics": [Metric(name="errors", kind="ratio", template="http"), Metric(name="slow", kind="latency")],
        "arms": ARMS,
        "sources": {"prometheus": Source(url="http://fake")},
    }
    return CollectRequest(**{**fields, **changes})


async def collect(
    source: FakeSource, asked: CollectRequest, environment: ActivityEnvironment | None = None
) -> Collected:
    activities = MetricsActivities(fake_sources(source))
    if environment is None:
        return await activities.collect(asked)
    collected: Collected = await environment.run(activities.collect, asked)
    return collected


async def test_all_metrics_of_a_look_come_back_in_order() -> None:
    collected = await collect(fake(), request())
    errors, slow = collected.metrics
    assert (errors.metric, errors.status, slow.metric, slow.status) == ("errors", "ok", "slow", "ok")
    assert errors.baseline is not None
    assert errors.canary is not None
    assert (errors.baseline.total, errors.baseline.events) == (3000, 60)
    assert (errors.canary.total, errors.canary.events) == (300, 30)
    assert slow.bounds == BOUNDS
    assert collected.window == request().window


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SourceUnreachable("no answer"), "unreachable: no answer"),
        (QueryRejected("parse error"), "rejected: parse error"),
    ],
)
async def test_a_store_that_fails_is_no_data_with_the_reason(error: CoalmineError, reason: str) -> None:
    source = fake()
    source.fail(NOW, NOW + timedelta(seconds=1), error)
    collected = await collect(source, request())
    assert [(counts.status, counts.reason) for counts in collected.metrics] == [("no_data", reason)] * 2


async def test_one_metric_that_fails_leaves_the_others() -> None:
    asked = request(metrics=[Metric(name="a", kind="ratio"), Metric(name="b", kind="ratio", source="elsewhere")])
    first, second = (await collect(fake(), asked)).metrics
    assert first.status == "ok"
    assert second.reason == "metrics.b.source: no source 'elsewhere' in `sources` (prometheus)"


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        (ArmCounts(total=10**20, events=1), "canary.total: 100000000000000000000 is over 2^53"),
        (ArmCounts(values=[1.0, -1.7e308]), "canary.values[1]: -1.7e+308 is beyond 1e+100: use another unit"),
    ],
)
async def test_numbers_that_no_evidence_can_keep_are_no_data_and_leave_the_others(
    arm: ArmCounts, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, asked = fake(), request()
    regular = source.collect

    async def odd(of: Source, metric: Metric, request: CollectRequest) -> MetricCounts:
        counts = await regular(of, metric, request)
        return counts.model_copy(update={"canary": arm}) if metric.name == "errors" else counts

    monkeypatch.setattr(source, "collect", odd)
    errors, slow = (await collect(source, asked)).metrics
    assert (errors.status, slow.status) == ("no_data", "ok")
    assert errors.reason.startswith(f"rejected: {said}")


async def test_a_kind_this_worker_does_not_serve_is_named() -> None:
    collected = await MetricsActivities({}).collect(request())
    assert "serves no source of kind 'prometheus'" in collected.metrics[0].reason


async def test_a_store_that_hangs_is_no_data_before_the_caller_gives_up() -> None:
    source = fake()
    source.hang(NOW, NOW + timedelta(seconds=1))
    environment = ActivityEnvironment()
    environment.info = ActivityEnvironment.default_info()
    environment.info = environment.info.__class__(
        **{**environment.info.__dict__, "start_to_close_timeout": timedelta(seconds=1.2)}
    )
    beats: list[object] = []
    environment.on_heartbeat = lambda *details: beats.append(details)
    collected = await asyncio.wait_for(collect(source, request(), environment), 10)
    assert collected.metrics[0].reason == "unreachable: prometheus did not answer within the look's 0.9 s"
    assert len(beats) >= 2, "a hung store must not look like a dead worker"


class TestDrift:
    """The route is read back beside the counts."""

    OURS: Weights = {"v1": 90.0, "v2": 10.0}

    async def drift(self, router: FakeRouter | None, watch: Weights | None = OURS) -> Drift | None:
        route = Route(router="envoy", name="shop")
        asked = request(watch=RouteWatch(route=route, weights=watch) if watch is not None else None)
        activities = MetricsActivities(fake_sources(fake()), {"envoy": router} if router is not None else None)
        collected = await activities.collect(asked)
        assert [counts.status for counts in collected.metrics] == ["ok", "ok"]
        return collected.drift

    async def test_our_own_weights_are_none(self) -> None:
        assert await self.drift(FakeRouter(self.OURS)) is None

    async def test_other_weights_are_said_with_the_highest_generation(self) -> None:
        router = FakeRouter(self.OURS)
        router.overtake("shop", {"v1": 50.0, "v2": 50.0}, 12)
        assert await self.drift(router) == Drift(weights={"v1": 50.0, "v2": 50.0}, generation=12)

    async def test_one_proxy_that_differs_is_enough(self) -> None:
        router = FakeRouter({"v1": 80.0, "v2": 20.0})
        router.lag(9, "proxy-2", "shop")
        router.overtake("shop", self.OURS, 3)
        assert await self.drift(router) == Drift(weights={"v1": 80.0, "v2": 20.0}, generation=3)

    async def test_what_cannot_be_read_is_none_and_the_look_goes_on(self) -> None:
        router = FakeRouter({"v1": 50.0, "v2": 50.0})
        router.be_unreachable(1)
        assert await self.drift(router) is None

    async def test_nobody_asked(self) -> None:
        assert await self.drift(FakeRouter({"v1": 50.0, "v2": 50.0}), None) is None
        assert await self.drift(None) is None

    def test_a_request_is_short_and_whole(self) -> None:
        watch = RouteWatch(route=Route(router="envoy", name="shop"), weights=self.OURS)
        asked = request(watch=watch)
        text = asked.model_dump_json()
        assert CollectRequest.model_validate_json(text) == asked
        assert "no_harm" not in text, "what is as by default passes through every look's history for nothing"


async def test_it_can_be_cancelled() -> None:
    source = fake()
    source.hang(NOW, NOW + timedelta(seconds=1))
    environment = ActivityEnvironment()
    asked = asyncio.Event()

    def clock() -> datetime:
        asked.set()
        return NOW

    source.clock = clock
    running = asyncio.create_task(collect(source, request(), environment))
    await asked.wait()
    environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
