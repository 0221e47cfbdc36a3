"""A NaN that stands for a scrape that failed, or for a target that went away, is no value; any other one is."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from activities.sources.base import break_down
from activities.sources.prometheus import PrometheusSource
from activities.sources.prometheus_marks import without_marks
from activities.sources.prometheus_series import Labels
from coalmine.records import ArmCounts, BreakdownRequest, Window
from coalmine.spec.metrics import Metric
from coalmine.testing.fake_prometheus import FakeAnswer, FakePrometheus
from tests.sources.test_prometheus_counts import ARMS, LATENCY, POD, RATIO, Store, moment

CANARY = {**POD, "version": "2", "code": "200"}
OTHER = {"job": "shop", "instance": "b:80"}
GAUGE = Metric(name="memory", kind="value", values='memory_bytes{version="{arm.version}"}')
Values = dict[float, float | str]


@pytest.fixture
def store(server: FakePrometheus, prometheus_source: PrometheusSource) -> Store:
    return Store(server, prometheus_source)


def scraped(store: Store, changes: Mapping[float, float | str], *, pod: Mapping[str, str] = POD) -> None:
    """``up`` of a target every second from 10 to 32 s, 1 but for these changes."""
    store.add("up", pod, {float(second): 1 for second in range(10, 33)} | dict(changes))


def counter(*, missed: float, mark: float | None = None) -> Values:
    """Ten requests a second, but for one scrape, of which there is a mark."""
    values: Values = {float(second): 10 * second for second in range(10, 33) if second != missed}
    return values | {missed if mark is None else mark: "NaN"}


def asked_for_up(store: Store) -> list[str]:
    return [query for query in store.server.queries if '"up"' in query]


# ---------------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize("mark", [25, 25.001, 25.1, 24.9])
async def test_a_scrape_that_failed_is_left_out(store: Store, mark: float) -> None:
    # The mark bears the clock's time, ``up`` that of the scrape's turn: up to a tenth of the interval is between them.
    store.add("http_requests_total", CANARY, counter(missed=25, mark=mark))
    scraped(store, {25: 0})
    assert (await store.canary()).total == 100
    assert len(asked_for_up(store)) == 1


@pytest.mark.parametrize("missed", [20, 30, 31])
async def test_a_scrape_that_failed_at_the_windows_edge_belongs_to_the_next(store: Store, missed: int) -> None:
    store.add("http_requests_total", CANARY, counter(missed=missed))
    scraped(store, {missed: 0})
    assert (await store.canary()).total == {20: 110, 30: 90, 31: 100}[missed]


async def test_many_failures_in_a_row_leave_one_mark(store: Store) -> None:
    values: Values = {float(second): 10 * second for second in [*range(10, 22), *range(28, 33)]}
    store.add("http_requests_total", CANARY, {**values, 22.0: "NaN"})
    scraped(store, dict.fromkeys(range(22, 28), 0))
    assert (await store.canary()).total == 100


async def test_a_pod_that_ended_counts_to_its_last_number(store: Store) -> None:
    store.steady("2")
    store.add("http_requests_total", {**CANARY, **OTHER}, [*(5 * second for second in range(14)), "NaN"])
    scraped(store, {})
    store.add("up", OTHER, [*[1] * 14, "NaN"])
    assert (await store.canary()).total == 100 + 15


async def test_all_buckets_of_a_histogram_miss_the_same_scrape(store: Store) -> None:
    for bound, rate in {"0.1": 1, "0.25": 2, "+Inf": 3}.items():
        labels = {**POD, "version": "2", "le": bound}
        values: Values = {float(second): rate * second for second in range(10, 33)}
        store.add("http_request_duration_seconds_bucket", labels, values | {25.0: "NaN"})
    scraped(store, {25: 0})
    assert await store.canary(LATENCY) == ArmCounts(total=30, buckets=[10, 10, 10])


async def test_an_arm_of_nothing_but_marks_is_empty(store: Store) -> None:
    store.add("http_requests_total", CANARY, {16.0: "NaN"})
    store.add("up", POD, {16.0: "NaN"})
    assert (await store.reason()).startswith("canary: empty: the canary has no series")


async def test_where_it_comes_from_is_counted_without_marks_too(store: Store) -> None:
    store.add("http_requests_total", CANARY, counter(missed=25))
    scraped(store, {25: 0})
    window = Window(start=moment(20), end=moment(30))
    asked = BreakdownRequest(window=window, arms=ARMS, labels=["instance"], compare=False)
    found = await break_down(store.adapter, store.source, RATIO, asked)
    assert [(one.value, one.canary.total) for one in found.labels[0].values] == [("a:80", 100)], found


# ------------------------------------------------------------------------------------------------- the newest


async def test_a_mark_after_the_windows_end_does_not_cover_it(store: Store) -> None:
    numbers: Values = {float(second): second for second in range(10, 29)}
    store.add("http_requests_total", CANARY, numbers | {30.5: "NaN"})
    store.add("up", POD, {float(second): 1 for second in range(10, 29)} | {30.5: "NaN"})
    assert "partial: the newest sample is 2 s older" in await store.reason()


async def test_an_arm_that_ended_is_stale_since_its_last_number(store: Store) -> None:
    store.add("http_requests_total", CANARY, [*[1] * 11, "NaN"])
    store.add("up", POD, [*[1] * 11, "NaN"])
    assert (await store.reason()).startswith("canary: stale since 2026-03-01T12:00:20Z")


async def test_a_process_that_ended_started_when_it_last_said(store: Store) -> None:
    # Born within the window, so that its start is asked for; ended in it.
    store.steady("2")
    for name, values in {
        "http_requests_total": (5_000_000, 5_000_007),
        "up": (1, 1),
        "process_start_time_seconds": (moment(0).timestamp() - 86_400,) * 2,
    }.items():
        labels = {**CANARY, **OTHER} if name == "http_requests_total" else OTHER
        first, second = values
        # It went away between the scrape before and the birth of a third pod, up to which its start is read.
        store.add(name, labels, {25.0: first, 26.0: second} | {26.5: "NaN"})
    store.add("http_requests_total", {**CANARY, "instance": "c:80"}, {28: 3, 29: 3, 30: 3, 31: 3})
    assert (await store.canary()).total == 100 + 7 + 3


# ---------------------------------------------------------------------------------------------------- gauges


async def test_a_gauge_that_ended_is_as_old_as_its_last_number(store: Store) -> None:
    # A mark at the window's very end was taken for a sample that covers it.
    store.add("memory_bytes", {**POD, "version": "2"}, {float(second): 7 for second in range(10, 26)} | {29.9: "NaN"})
    store.add("up", POD, {float(second): 1 for second in range(10, 26)} | {29.9: "NaN"})
    assert (await store.reason(GAUGE)).startswith("canary: stale since 2026-03-01T12:00:25Z")


async def test_a_gauge_of_a_target_that_went_before_is_no_instance(store: Store) -> None:
    store.add("memory_bytes", {**POD, "version": "2"}, [7] * 23)
    ended: Values = {20.0: 1, 20.5: "NaN"}
    store.add("memory_bytes", {**OTHER, "version": "2"}, ended)
    store.add("up", OTHER, ended)
    counts = await store.collect(GAUGE, compare=False)
    assert (counts.canary, counts.warnings) == (ArmCounts(values=[7.0]), [])


async def test_up_itself_may_be_what_is_read(store: Store) -> None:
    store.add("up", POD, [1] * 23)
    store.add("up", OTHER, [*[1] * 15, "NaN"])
    counts = await store.collect(Metric(name="up", kind="value", values="up"), compare=False)
    assert counts.canary == ArmCounts(values=[1.0, 1.0])


# --------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("nan", [25, 25.001, 25.4, 24.9])
async def test_what_a_target_that_is_up_exposes_is_refused(store: Store, nan: float) -> None:
    store.add("http_requests_total", CANARY, counter(missed=25, mark=nan))
    scraped(store, {24: 0, 26: 0})
    assert "NaN: http_requests_total" in await store.reason()


async def test_one_nan_of_an_application_is_enough(store: Store) -> None:
    store.add("http_requests_total", CANARY, counter(missed=25) | {27.0: "NaN"})
    scraped(store, {25: 0})
    assert "NaN: http_requests_total" in await store.reason()


@pytest.mark.parametrize("target", [POD, {"job": "shop"}, {}])
async def test_a_target_nobody_knows_the_state_of_is_refused(store: Store, target: Mapping[str, str]) -> None:
    store.add("http_requests_total", {**target, "version": "2", "code": "200"}, counter(missed=25))
    scraped(store, {25: 0}, pod=OTHER)
    assert "NaN: http_requests_total" in await store.reason()


async def test_the_state_of_another_job_on_the_same_host_says_nothing(store: Store) -> None:
    store.add("http_requests_total", CANARY, counter(missed=25))
    scraped(store, {})
    scraped(store, {25: 0}, pod={**POD, "job": "node"})
    assert "NaN: http_requests_total" in await store.reason()


async def test_doubts_of_the_store_about_up_are_doubts_about_the_counts(store: Store) -> None:
    store.add("http_requests_total", CANARY, counter(missed=25))
    scraped(store, {25: 0})
    partial = FakeAnswer(200, b'{"status": "success", "isPartial": true, "data": {"result": []}}')
    store.server.answer = lambda query, _: partial if '"up"' in query else None
    assert "partial: Prometheus warned" in await store.reason()


async def test_up_is_not_asked_for_without_a_nan(store: Store) -> None:
    store.steady("2")
    scraped(store, {})
    assert (await store.canary()).total == 100
    assert asked_for_up(store) == []


# ------------------------------------------------------------------------------------------------ the function

X: Labels = (("__name__", "x"), ("instance", "a"))
UP: Labels = (("__name__", "up"), ("instance", "a"))


def test_of_two_who_scrape_one_target_one_success_is_enough() -> None:
    series = {X: [(1000, "NaN"), (2000, "5")]}
    first: Labels = (*UP, ("replica", "1"))
    second: Labels = (*UP, ("replica", "2"))
    for one, other in ((first, second), (second, first)):
        assert without_marks(series, {one: [(900, "0"), (1000, "0")], other: [(1000, "1"), (1100, "0")]}) == series


def test_as_near_to_a_success_as_to_a_failure_nothing_says_that_it_was_a_mark() -> None:
    assert without_marks({X: [(1000, "NaN")]}, {UP: [(900, "0"), (1100, "1")]}) == {X: [(1000, "NaN")]}


@pytest.mark.parametrize("at", [500, 1400, 2500])
def test_the_nearest_scrape_decides_also_at_the_ends_of_what_is_known(at: int) -> None:
    assert without_marks({X: [(at, "NaN")]}, {UP: [(1000, "0"), (2000, "0")]}) == {}
    assert without_marks({X: [(at, "NaN")]}, {UP: [(1000, "1"), (2000, "1")]}) == {X: [(at, "NaN")]}
