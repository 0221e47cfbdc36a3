"""What PrometheusSource makes of samples: restarts, births, gaps, histograms; each reason told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from activities.sources import prometheus_series
from activities.sources.prometheus import PrometheusSource
from coalmine.errors import QueryRejected
from coalmine.records import ArmCounts, CollectRequest, MetricCounts, Window
from coalmine.spec.canary import Arm, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.testing.fake_prometheus import FakePrometheus

T0 = 1_772_366_400_000
"""Milliseconds: all moments of these tests are seconds after it."""
ARMS = Arms(baseline=Arm(version="1", backend="shop-v1"), canary=Arm(version="2", backend="shop-v2"))
RATIO = Metric(name="errors", kind="ratio", template="http")
LATENCY = Metric(name="latency", kind="latency", template="http")
POD = {"job": "shop", "instance": "a:80"}


class Store:
    """A fake Prometheus scraped every second, and one collection of the window (20 s, 30 s]."""

    def __init__(self, server: FakePrometheus, adapter: PrometheusSource) -> None:
        self.server = server
        self.adapter = adapter
        self.source = Source(url=server.url, scrape=timedelta(seconds=1), flush=timedelta(seconds=0))

    def add(
        self,
        name: str,
        labels: Mapping[str, str],
        values: Mapping[int, float | str] | Mapping[float, float | str] | Sequence[float | str],
    ) -> None:
        """Samples by second; a sequence starts at second 10."""
        by_second = values if isinstance(values, Mapping) else {10 + index: v for index, v in enumerate(values)}
        samples = [(T0 + round(second * 1000), value) for second, value in by_second.items()]
        self.server.add(name, labels, samples)

    def steady(self, version: str, *, pod: Mapping[str, str] = POD, rate: int = 10, **labels: str) -> None:
        """A counter that gains ``rate`` a second, seen from second 10 to 32."""
        self.add(
            "http_requests_total",
            {**pod, "version": version, "code": "200", **labels},
            [1000 + rate * second for second in range(23)],
        )

    async def collect(
        self, metric: Metric = RATIO, start: float = 20, end: float = 30, *, compare: bool = True
    ) -> MetricCounts:
        request = CollectRequest(
            window=Window(start=moment(start), end=moment(end)),
            metrics=[metric],
            arms=ARMS,
            sources={"prometheus": self.source},
            compare=compare,
        )
        return await self.adapter.collect(self.source, metric, request)

    async def canary(self, metric: Metric = RATIO, start: float = 20, end: float = 30) -> ArmCounts:
        counts = await self.collect(metric, start, end, compare=False)
        assert counts.status == "ok", counts.reason
        assert counts.canary is not None
        return counts.canary

    async def reason(self, metric: Metric = RATIO, start: float = 20, end: float = 30) -> str:
        counts = await self.collect(metric, start, end, compare=False)
        assert counts.status == "no_data", counts
        return counts.reason


def moment(second: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=T0 + round(second * 1000))


@pytest.fixture
def store(server: FakePrometheus, prometheus_source: PrometheusSource) -> Store:
    return Store(server, prometheus_source)


# ---------------------------------------------------------------------------------------------------- counts


async def test_series_are_summed_and_both_arms_are_cut_at_the_same_moments(store: Store) -> None:
    for version, rate in (("1", 7), ("2", 3)):
        store.steady(version, rate=rate)
        store.steady(version, rate=rate, pod={"job": "shop", "instance": "b:80"})
        store.steady(version, rate=1, code="503")
    counts = await store.collect()
    assert counts.baseline == ArmCounts(total=150, events=10)
    assert counts.canary == ArmCounts(total=70, events=10)


async def test_the_cut_is_exact_to_the_millisecond(store: Store) -> None:
    store.add("http_requests_total", {**POD, "version": "2", "code": "200"}, {20.0: 5, 20.001: 7, 29.999: 9, 30.0: 11,
                                                                             30.001: 99})  # fmt: skip
    assert (await store.canary()).total == 6
    assert (await store.canary(start=20.001, end=29.999)).total == 2


async def test_a_list_of_selectors_is_summed_and_a_series_two_of_them_match_counts_once(store: Store) -> None:
    store.steady("2", rate=10)
    store.steady("2", rate=5, pod={"job": "shop", "instance": "b:80"})
    metric = Metric(
        name="errors",
        kind="ratio",
        total=['http_requests_total{version="{arm.version}",instance="a:80"}', 'http_requests_total{version="2"}'],
        events='http_requests_total{version="{arm.version}",instance="b:80"}',
    )
    assert await store.canary(metric) == ArmCounts(total=150, events=50)


async def test_a_restart_counts_what_came_after_it(store: Store) -> None:
    labels = {**POD, "version": "2", "code": "200"}
    store.add("http_requests_total", labels, [*range(100, 120), 3, 8, 20])
    # 110 at 20 s, 119 at 29 s, then a restart shows 3 at 30 s.
    assert (await store.canary()).total == 9 + 3


async def test_events_never_exceed_the_total(store: Store) -> None:
    store.steady("2", rate=2)
    store.steady("2", rate=3, code="503")
    metric = Metric(name="errors", kind="ratio", total='http_requests_total{code="200",version="2"}',
                    events='http_requests_total{code="503",version="2"}')  # fmt: skip
    assert await store.canary(metric) == ArmCounts(total=20, events=20)


async def test_a_window_shorter_than_a_scrape_may_hold_nothing_and_its_neighbour_the_rest(store: Store) -> None:
    store.steady("2", rate=10)
    assert (await store.canary(start=20.2, end=20.9)).total == 0
    assert (await store.canary(start=20.9, end=21.5)).total == 10


@pytest.mark.parametrize("longest", [3, 7])
async def test_a_long_window_is_asked_in_pieces(store: Store, monkeypatch: pytest.MonkeyPatch, longest: int) -> None:
    monkeypatch.setattr(prometheus_series, "LONGEST_PIECE", longest)
    store.steady("2", rate=10)
    assert (await store.canary()).total == 100
    assert len([query for query in store.server.queries if "5.." not in query]) > 2


async def test_a_store_that_refuses_so_many_samples_is_asked_for_fewer(store: Store) -> None:
    store.steady("2", rate=10)
    store.server.max_samples = 6
    assert (await store.canary()).total == 100


async def test_ranges_that_leave_out_their_start_lose_no_sample(prometheus_source: PrometheusSource) -> None:
    with FakePrometheus(left_open=True) as server:
        store = Store(server, prometheus_source)
        store.steady("2", rate=10)
        store.server.max_samples = 6
        assert (await store.canary()).total == 100


# ---------------------------------------------------------------------------------------------------- births


async def test_the_first_error_of_a_scraped_target_counts_from_zero(store: Store) -> None:
    store.steady("2")
    store.add("http_requests_total", {**POD, "version": "2", "code": "503"}, {25: 4, 26: 6, 30: 9, 31: 9})
    assert await store.canary() == ArmCounts(total=109, events=9)


async def test_the_first_requests_of_a_target_that_was_up_before_count_from_zero(store: Store) -> None:
    store.add("up", POD, [1] * 23)
    store.add("http_requests_total", {**POD, "version": "2", "code": "200"}, {25: 40, 26: 60, 30: 90, 31: 95})
    assert (await store.canary()).total == 90


async def test_a_new_target_next_to_known_ones_counts_from_zero(store: Store) -> None:
    store.steady("2")
    store.add("http_requests_total", {"job": "shop", "instance": "new:80", "version": "2", "code": "200"},
              {25: 4, 30: 9, 31: 9})  # fmt: skip
    assert (await store.canary()).total == 109


async def test_an_old_process_that_is_only_scraped_since_now_does_not_bring_its_past(store: Store) -> None:
    store.steady("2")
    late = {"job": "shop", "instance": "late:80"}
    store.add("process_start_time_seconds", late, {25: T0 / 1000 - 86_400, 30: T0 / 1000 - 86_400})
    store.add(
        "http_requests_total", {**late, "version": "2", "code": "200"}, {25: 5_000_000, 30: 5_000_007, 31: 5_000_007}
    )
    counts = await store.collect(compare=False)
    assert counts.canary == ArmCounts(total=107, events=0)
    assert any("late:80" in warning for warning in counts.warnings)


async def test_an_arm_nobody_knew_before_counts_from_its_first_sample(store: Store) -> None:
    store.add("http_requests_total", {**POD, "version": "2", "code": "200"}, {25: 5000, 26: 5003, 30: 5010, 31: 5010})
    counts = await store.collect(compare=False)
    assert counts.canary == ArmCounts(total=10, events=0)
    assert any("first scraped inside the window" in warning for warning in counts.warnings)


async def test_one_first_sample_alone_is_no_data(store: Store) -> None:
    store.add("http_requests_total", {**POD, "version": "2", "code": "200"}, {30: 5000})
    assert "began inside the window" in await store.reason()


async def test_a_series_that_was_gone_for_an_hour_goes_on_where_it_was(store: Store) -> None:
    labels = {**POD, "version": "2", "code": "200"}
    store.add("http_requests_total", labels, {-3600: 1_000_000, 25: 1_000_004, 30: 1_000_009, 31: 1_000_009})
    assert (await store.canary()).total == 9


async def test_births_do_not_break_the_tiling(store: Store) -> None:
    store.add("up", POD, [1] * 60)
    store.add("http_requests_total", {**POD, "version": "2", "code": "200"}, {s: 7 * s for s in range(23, 62)})
    store.add("http_requests_total", {**POD, "version": "2", "code": "503"}, {s: 3 * (s - 30) for s in range(33, 62)})
    store.add("http_requests_total", {"job": "shop", "instance": "b:80", "version": "2", "code": "200"},
              {s: s - 40 for s in range(44, 62)})  # fmt: skip
    whole = await store.canary(start=20, end=60)
    parts = [await store.canary(start=start, end=start + 5) for start in range(20, 60, 5)]
    assert whole == ArmCounts(total=sum(part.total for part in parts), events=sum(part.events or 0 for part in parts))
    assert whole.total == 7 * 60 + 3 * 30 + 20


# ------------------------------------------------------------------------------ empty, stale, partial, NaN


async def test_no_series_is_empty_and_names_arm_and_selector(store: Store) -> None:
    store.steady("1")
    counts = await store.collect()
    assert counts.reason == 'canary: empty: the canary has no series for http_requests_total{version="2"}'
    assert counts.status == "no_data"
    assert counts.baseline is None


async def test_both_arms_may_have_their_own_reason(store: Store) -> None:
    store.add("http_requests_total", {**POD, "version": "1", "code": "200"}, ["NaN"] * 23)
    reason = (await store.collect()).reason
    assert reason.startswith("baseline: NaN")
    assert "; canary: empty" in reason


async def test_targets_that_ended_are_stale_since(store: Store) -> None:
    store.add("http_requests_total", {**POD, "version": "2", "code": "200"}, [1] * 11)
    assert (await store.reason()).startswith("canary: stale since 2026-03-01T12:00:20Z")


async def test_a_pod_that_ended_counts_to_its_last_sample_while_others_live(store: Store) -> None:
    store.steady("2")
    store.add("http_requests_total", {"job": "shop", "instance": "b:80", "version": "2", "code": "200"},
              [5 * second for second in range(14)])  # fmt: skip
    assert (await store.canary()).total == 100 + 15


async def test_a_window_nothing_covers_yet_is_partial(store: Store) -> None:
    store.add("http_requests_total", {**POD, "version": "2", "code": "200"}, range(19))
    assert "partial: the newest sample is 2 s older" in await store.reason()


async def test_one_missed_scrape_is_no_gap_when_a_later_one_is_there(store: Store) -> None:
    store.add("http_requests_total", {**POD, "version": "2", "code": "200"}, {20: 1, 21: 2, 27.5: 9, 30.5: 12})
    assert (await store.canary()).total == 8


async def test_a_warning_of_the_store_is_partial_and_kept(store: Store) -> None:
    store.steady("2")
    store.server.warnings = ["shard 3 did not answer"]
    assert await store.reason() == "canary: partial: Prometheus warned: shard 3 did not answer"
    store.server.warnings = []
    store.server.extra = {"isPartial": True}
    assert "partial" in await store.reason()


async def test_annotations_on_the_language_are_no_partial_answer(store: Store) -> None:
    store.steady("2")
    store.server.warnings = ["PromQL info: metric might not be a counter"]
    assert (await store.canary()).total == 100


@pytest.mark.parametrize(
    ("value", "reason"),
    [("NaN", "NaN: http_requests_total"), ("0.5", "not a whole number"), ("+Inf", "not a count"), ("-3", "negative")],
)
async def test_what_is_no_count_says_so(store: Store, value: str, reason: str) -> None:
    store.add("http_requests_total", {**POD, "version": "2", "code": "200"}, [1] * 15 + [value] + [2] * 7)
    assert reason in await store.reason()


async def test_errors_counted_by_an_exporter_that_died_are_not_zero(store: Store) -> None:
    store.steady("2")
    other = {"job": "errors", "instance": "e:1"}
    store.add("failures_total", {**other, "version": "2"}, [3] * 8)
    metric = Metric(name="errors", kind="ratio", total='http_requests_total{version="2"}',
                    events='failures_total{version="2"}')  # fmt: skip
    assert "events are no longer scraped" in await store.reason(metric)


async def test_a_label_that_no_series_carries_is_refused_instead_of_counting_zero(store: Store) -> None:
    store.add("http_requests_total", {**POD, "version": "2", "status": "200"}, range(23))
    with pytest.raises(QueryRejected, match=r"carries the label 'code' \(there are: instance, job, status, version\)"):
        await store.collect(compare=False)


async def test_buckets_as_total_are_refused(store: Store) -> None:
    store.add("d_bucket", {**POD, "version": "2", "le": "1"}, range(23))
    with pytest.raises(QueryRejected, match="select its _count"):
        await store.canary(Metric(name="m", kind="ratio", total="d_bucket", events="d_bucket"))


# ------------------------------------------------------------------------------------------------ histograms


def histogram(
    store: Store, version: str, rates: Mapping[str, int], *, count: int | None = None, pod: Mapping[str, str] = POD,
    seconds: Sequence[int] = range(10, 33), name: str = "http_request_duration_seconds",
) -> None:  # fmt: skip
    """Cumulative gains per second by ``le``."""
    labels = {**pod, "version": version}
    for bound, rate in rates.items():
        store.add(f"{name}_bucket", {**labels, "le": bound}, {s: rate * s for s in seconds})
    store.add(f"{name}_count", labels, {s: (count or rates.get("+Inf", 0)) * s for s in seconds})


async def test_buckets_are_differences_of_the_cumulative_ones(store: Store) -> None:
    histogram(store, "1", {"0.1": 2, "0.25": 5, "+Inf": 6})
    histogram(store, "2", {"0.1": 1, "0.25": 1, "+Inf": 4})
    counts = await store.collect(LATENCY)
    assert counts.bounds == [0.1, 0.25]
    assert counts.baseline == ArmCounts(total=60, buckets=[20, 30, 10])
    assert counts.canary == ArmCounts(total=40, buckets=[10, 0, 30])


async def test_bounds_are_merged_to_those_the_arms_share(store: Store) -> None:
    histogram(store, "1", {"0.05": 1, "0.1": 2, "0.25": 5, "+Inf": 6})
    histogram(store, "2", {"0.1": 1, "0.2": 2, "0.250": 3, "+Inf": 4})
    counts = await store.collect(LATENCY)
    assert counts.bounds == [0.1, 0.25]
    assert counts.baseline == ArmCounts(total=60, buckets=[20, 30, 10])
    assert counts.canary == ArmCounts(total=40, buckets=[10, 20, 10])
    assert counts.warnings == [
        "baseline: bounds that the other arm lacks were merged away: 0.05",
        "canary: bounds that the other arm lacks were merged away: 0.2",
    ]


async def test_pods_with_other_bounds_are_merged_too(store: Store) -> None:
    histogram(store, "2", {"0.1": 1, "0.25": 2, "+Inf": 3})
    histogram(store, "2", {"0.25": 1, "1": 2, "+Inf": 2}, pod={"job": "shop", "instance": "b:80"})
    counts = await store.collect(LATENCY, compare=False)
    assert counts.bounds == [0.25]
    assert counts.canary == ArmCounts(total=50, buckets=[30, 20])
    assert "merged away" in counts.warnings[0]


async def test_arms_without_a_common_bound_have_no_data(store: Store) -> None:
    histogram(store, "1", {"0.1": 1, "+Inf": 3})
    histogram(store, "2", {"0.2": 1, "+Inf": 3})
    counts = await store.collect(LATENCY)
    assert counts.reason.startswith("the arms' histograms have no bound in common (baseline 0.1; canary 0.2)")


async def test_a_process_that_came_back_with_other_buckets_is_counted_on_those_that_stayed(store: Store) -> None:
    labels = {**POD, "version": "2"}
    for bound, values in {
        "0.1": {**{s: 10 * s for s in range(10, 25)}},
        "0.2": {**{s: 2 * s for s in range(25, 33)}},
        "0.25": {**{s: 20 * s for s in range(10, 25)}, **{s: 3 * s for s in range(25, 33)}},
        "+Inf": {**{s: 30 * s for s in range(10, 25)}, **{s: 4 * s for s in range(25, 33)}},
    }.items():
        store.add("http_request_duration_seconds_bucket", {**labels, "le": bound}, values)
    counts = await store.collect(LATENCY, compare=False)
    assert counts.bounds == [0.25]
    assert counts.canary == ArmCounts(total=120 + 120, buckets=[80 + 90, 40 + 30])


async def test_milliseconds_become_seconds(store: Store) -> None:
    histogram(store, "2", {"0.5": 0, "250": 1, "1000": 2, "+Inf": 2}, name="t")
    metric = Metric(name="latency", kind="latency", buckets='t_bucket{version="{arm.version}"}', unit="ms")
    assert (await store.collect(metric, compare=False)).bounds == [0.0005, 0.25, 1.0]


async def test_the_template_envoy_reads_envoys_names_in_milliseconds(store: Store) -> None:
    cluster = {**POD, "envoy_cluster_name": "shop-v2"}
    store.add("envoy_cluster_upstream_rq_completed", cluster, [10 * s for s in range(23)])
    store.add("envoy_cluster_upstream_rq_xx", {**cluster, "envoy_response_code_class": "5"}, {25: 2, 30: 3, 31: 3})
    store.add("envoy_cluster_upstream_rq_xx", {**cluster, "envoy_response_code_class": "2"}, range(23))
    for bound, rate in {"250": 9, "+Inf": 10}.items():
        store.add("envoy_cluster_upstream_rq_time_bucket", {**cluster, "le": bound}, [rate * s for s in range(23)])
    assert await store.canary(Metric(name="e", kind="ratio", template="envoy")) == ArmCounts(total=100, events=3)
    counts = await store.collect(Metric(name="l", kind="latency", template="envoy"), compare=False)
    assert (counts.bounds, counts.canary) == ([0.25], ArmCounts(total=100, buckets=[90, 10]))


async def test_a_restart_that_only_the_large_buckets_show_restarts_the_small_ones(store: Store) -> None:
    labels = {**POD, "version": "2"}
    for bound, late in {"0.1": 6, "+Inf": 20}.items():
        values = dict.fromkeys(range(10, 25), 5 if bound == "0.1" else 90) | dict.fromkeys(range(25, 33), late)
        store.add("http_request_duration_seconds_bucket", {**labels, "le": bound}, values)
    assert await store.canary(LATENCY) == ArmCounts(total=20, buckets=[6, 14])


async def test_buckets_that_are_not_cumulative_have_no_data(store: Store) -> None:
    histogram(store, "2", {"0.1": 5, "0.25": 3, "+Inf": 6})
    assert "not cumulative" in await store.reason(LATENCY)


async def test_a_count_that_differs_from_the_last_bucket_has_no_data(store: Store) -> None:
    histogram(store, "2", {"0.1": 5, "+Inf": 6}, count=7)
    assert "the +Inf bucket counted 60, the histogram's _count 70" in await store.reason(LATENCY)


async def test_a_histogram_without_its_last_bucket_is_refused(store: Store) -> None:
    histogram(store, "2", {"0.1": 5, "0.25": 6})
    with pytest.raises(QueryRejected, match='no bucket le="\\+Inf"'):
        await store.canary(LATENCY)


async def test_a_summary_is_refused_as_histogram(store: Store) -> None:
    store.add("http_request_duration_seconds_count", {**POD, "version": "2"}, range(23))
    with pytest.raises(QueryRejected, match="has no label le"):
        await store.canary(LATENCY)


async def test_picking_by_le_is_refused(store: Store) -> None:
    metric = Metric(name="latency", kind="latency", buckets='d_bucket{le="0.1"}')
    with pytest.raises(QueryRejected, match=r"metrics.latency.buckets: .* picks by le"):
        await store.canary(metric)


async def test_native_histograms_are_refused_with_the_mend(store: Store) -> None:
    native = {"metric": {"__name__": "d"}, "histograms": [[T0 / 1000, {"count": "3", "sum": "1"}]]}
    store.server.evaluate = lambda query, at: (200, {"status": "success", "data": {"result": [native]}})  # type: ignore[method-assign]
    with pytest.raises(QueryRejected, match=r"d is a native histogram.*expose classic buckets"):
        await store.canary(LATENCY)


# ---------------------------------------------------------------------------------------------- the record


async def test_the_queries_are_kept_so_that_anyone_can_ask_them_again(store: Store) -> None:
    store.steady("2")
    counts = await store.collect(compare=False)
    assert counts.queries == [
        'http_requests_total{version="2"}[16000ms] @ 1772366431.000',
        'http_requests_total{version="2",code=~"5.."}[16000ms] @ 1772366431.000',
    ]


async def test_the_same_window_gives_the_same_record_however_much_comes_later(store: Store) -> None:
    store.steady("2")
    once = await store.collect(compare=False)
    store.add("http_requests_total", {**POD, "version": "2", "code": "200", "zone": "late"}, {31.5: 7, 40: 9})
    assert await store.collect(compare=False) == once


async def test_a_metric_without_a_selector_is_refused_by_name(store: Store) -> None:
    with pytest.raises(QueryRejected, match=r"metrics\.errors\.events is missing"):
        await store.canary(Metric(name="errors", kind="ratio", total="x"))
