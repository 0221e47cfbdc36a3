"""``validate --connect``: what is told before a rollout finds out."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from activities.sources.prometheus import PrometheusSource
from coalmine.records import Check
from coalmine.spec.canary import Arm, Arms
from coalmine.spec.metrics import Metric, Objective
from coalmine.spec.sources import Source
from coalmine.testing.fake_prometheus import FakeAnswer, FakePrometheus

ARMS = Arms(baseline=Arm(version="1", backend="shop-v1"), canary=Arm(version="2", backend="shop-v2"))
RATIO = Metric(name="errors", kind="ratio", template="http")
LATENCY = Metric(
    name="latency", kind="latency", template="http", objective=Objective(under=timedelta(milliseconds=250), share=0.99)
)
POD = {"job": "shop", "instance": "a:80"}


class Checked:
    """A store scraped every second until now, and the checks by name."""

    def __init__(self, server: FakePrometheus, adapter: PrometheusSource) -> None:
        self.server = server
        self.adapter = adapter
        self.now = round(time.time())
        self.source = Source(url=server.url, scrape=timedelta(seconds=1), flush=timedelta(0))

    def serve(
        self, version: str, *, every: int = 1, code: str = "code", bounds: tuple[str, ...] = ("0.1", "0.25")
    ) -> None:
        moments = range(self.now - 300, self.now + 1, every)
        labels = {**POD, "version": version}
        samples = [(at * 1000, 10 * at) for at in moments]
        self.server.add("http_requests_total", {**labels, code: "200"}, samples)
        for bound in (*bounds, "+Inf"):
            self.server.add("http_request_duration_seconds_bucket", {**labels, "le": bound}, samples)

    async def checks(self, metric: Metric) -> dict[str, Check]:
        found = await self.adapter.check(self.source, metric, ARMS)
        assert all(check.reason for check in found)
        return {check.name: check for check in found}


@pytest.fixture
def checked(server: FakePrometheus, prometheus_source: PrometheusSource) -> Checked:
    return Checked(server, prometheus_source)


async def test_all_is_well(checked: Checked) -> None:
    checked.serve("1")
    checked.serve("2")
    ratio = await checked.checks(RATIO)
    assert all(check.ok for check in ratio.values()), ratio
    assert "10 requests/s and 0 events in the last 60 s (no series for events yet" in ratio["errors: baseline"].reason
    assert "measured 1s" in ratio["errors: scrape interval"].reason
    latency = await checked.checks(LATENCY)
    assert all(check.ok for check in latency.values()), latency
    assert latency["latency: bounds"].reason == "2 bounds, equal for both arms"
    assert latency["latency: objective"].reason == "0.25 s is a bucket bound"


async def test_an_unreachable_store_ends_it(checked: Checked) -> None:
    checked.server.answer = lambda query, headers: FakeAnswer(503, b"starting")
    found = await checked.checks(RATIO)
    assert list(found) == ["source prometheus"]
    assert not found["source prometheus"].ok


async def test_a_source_that_cannot_work_is_told(checked: Checked) -> None:
    checked.source = checked.source.model_copy(update={"token_env": "NOT_SET_ANYWHERE"})
    found = await checked.checks(RATIO)
    assert "NOT_SET_ANYWHERE is not set" in found["source prometheus"].reason


@pytest.mark.parametrize(("away", "ok"), [(0.2, True), (-30, False), (30, False)])
async def test_clocks_over_a_second_apart_are_an_error(checked: Checked, away: float, ok: bool) -> None:
    checked.server.clock = lambda: time.time() + away
    assert (await checked.checks(RATIO))["source prometheus: clock"].ok is ok


async def test_a_canary_without_requests_yet_is_natural_and_a_silent_baseline_is_not(checked: Checked) -> None:
    found = await checked.checks(RATIO)
    assert not found["errors: baseline"].ok
    assert found["errors: canary"].ok
    assert "natural before its first request" in found["errors: canary"].reason


async def test_a_label_that_is_not_there_is_found(checked: Checked) -> None:
    checked.serve("1", code="status")
    assert "carries the label 'code'" in (await checked.checks(RATIO))["errors: baseline"].reason


@pytest.mark.parametrize(("said", "ok"), [(1, False), (5, True), (15, True)])
async def test_the_scrape_interval_is_measured(checked: Checked, said: int, ok: bool) -> None:
    checked.serve("1", every=5)
    checked.source = checked.source.model_copy(update={"scrape": timedelta(seconds=said)})
    # What is scraped every 5 s but said to be every 1 s may also be seen as stale; the interval says why.
    found = await checked.checks(RATIO)
    interval = found.get("errors: scrape interval")
    assert interval is not None
    assert interval.ok is ok
    assert "measured 5s" in interval.reason


async def test_bounds_that_differ_and_an_objective_between_bounds_are_told(checked: Checked) -> None:
    checked.serve("1", bounds=("0.1", "0.2", "0.5"))
    checked.serve("2", bounds=("0.1", "0.3", "0.5"))
    found = await checked.checks(LATENCY)
    assert found["latency: bounds"].reason == "2 in common; merged away (in s): 0.2, 0.3"
    assert not found["latency: objective"].ok
    assert "0.25 s is no bucket bound (nearest: 0.1 s, 0.5 s)" in found["latency: objective"].reason


async def test_no_bound_in_common_is_an_error(checked: Checked) -> None:
    checked.serve("1", bounds=("0.1",))
    checked.serve("2", bounds=("0.2",))
    assert not (await checked.checks(LATENCY))["latency: bounds"].ok
