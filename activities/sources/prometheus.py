"""Exact counts from Prometheus: raw samples of counters, cut and differenced here (docs/prometheus.md).

``rate()`` and ``increase()`` extrapolate, so their answers are no counts. This source asks for the raw samples by an
instant query ``selector[range]`` that is wider than the window, and cuts in Python.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from activities.sources.each_arm import NoCounts, each_arm
from activities.sources.prometheus_arms import ArmTally, tally_arm
from activities.sources.prometheus_breakdown import break_metric_down
from activities.sources.prometheus_burn import burn_counts
from activities.sources.prometheus_check import check_metric
from activities.sources.prometheus_groups import COUNT, Tally
from activities.sources.prometheus_http import PrometheusHttp
from activities.sources.prometheus_query import ask_threshold
from activities.sources.prometheus_values import ArmValues, read_values
from coalmine.errors import QueryRejected
from coalmine.records import (
    ArmCounts,
    BreakdownRequest,
    Check,
    CollectRequest,
    MetricBreakdown,
    MetricCounts,
    Window,
)
from coalmine.spec.canary import Arm, ArmName, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source

T = TypeVar("T")


class PrometheusSource:
    """Prometheus, and what speaks its query API (Thanos, Mimir, VictoriaMetrics)."""

    def __init__(self) -> None:
        self._clients: dict[str, PrometheusHttp] = {}

    async def collect(self, source: Source, metric: Metric, request: CollectRequest) -> MetricCounts:
        """Exact counts of the window for the arms, or ``no_data`` with its reason.

        Raises:
            SourceUnreachable: Prometheus did not answer in time.
            QueryRejected: Prometheus, or this adapter, cannot take the query; says how to mend it.
        """
        http = self.client(metric.source, source)
        try:
            if metric.kind == "threshold":
                found = await ask_threshold(http, metric, request.arms.canary, request.window)
            elif metric.kind == "value":
                found = _values(metric, await each_arm(partial(_read, read_values, http, metric, request), request))
            else:
                found = _counts(metric, await each_arm(partial(_read, tally_arm, http, metric, request), request))
        except NoCounts as error:
            return MetricCounts(metric=metric.name, status="no_data", reason=str(error))
        if metric.kind == "slo" and found.canary is not None:
            burn, queries = await burn_counts(http, metric, request.arms.canary, request.window)
            found.canary.burn = burn
            found.queries += queries
        found.seconds = (request.window.end - request.window.start).total_seconds()
        return found

    async def check(self, source: Source, metric: Metric, arms: Arms) -> list[Check]:
        """Whether looks will find what they need; see ``prometheus_check``."""
        try:
            http = self.client(metric.source, source)
        except QueryRejected as error:
            return [Check(ok=False, name=f"source {metric.source}", reason=str(error))]
        return await check_metric(http, metric, arms)

    async def break_down(self, source: Source, metric: Metric, request: BreakdownRequest) -> MetricBreakdown:
        """The metric by labels, from the same raw samples a look counts; see ``prometheus_breakdown``.

        Raises:
            SourceUnreachable, QueryRejected: as ``collect``.
        """
        return await break_metric_down(self.client(metric.source, source), metric, request)

    def client(self, name: str, source: Source) -> PrometheusHttp:
        """The connection for a source as it is configured now.

        Raises:
            QueryRejected: the source cannot work as written.
        """
        key = f"{name}\n{source.model_dump_json()}"
        if key not in self._clients:
            self._clients[key] = PrometheusHttp(name, source)
        return self._clients[key]

    def close(self) -> None:
        """Close connections and threads."""
        for http in self._clients.values():
            http.close()
        self._clients.clear()


def _values(metric: Metric, arms: Mapping[ArmName, ArmValues]) -> MetricCounts:
    counts = {name: ArmCounts(values=arm.values) for name, arm in arms.items()}
    return MetricCounts(
        metric=metric.name,
        baseline=counts.get("baseline"),
        canary=counts.get("canary"),
        warnings=[f"{name}: {text}" for name, arm in arms.items() for text in arm.warnings],
        queries=[query for arm in arms.values() for query in arm.queries],
    )


def _read(
    read: Callable[[PrometheusHttp, Metric, Arm, str, Window], Awaitable[T]],
    http: PrometheusHttp,
    metric: Metric,
    request: CollectRequest,
    name: ArmName,
) -> Awaitable[T]:
    return read(http, metric, getattr(request.arms, name), name, request.window)


def _counts(metric: Metric, arms: Mapping[ArmName, ArmTally]) -> MetricCounts:
    warnings = [
        f"{name}: {text}" for name, arm in arms.items() for part in arm.parts.values() for text in part.warnings
    ]
    queries = [query for arm in arms.values() for query in arm.queries]
    counts: dict[str, ArmCounts] = {}
    bounds: list[float] | None = None
    if metric.kind != "latency":
        for name, arm in arms.items():
            events = arm.parts["events"].counted.get("", 0)
            total = arm.parts["total"].counted.get("", 0) if "total" in arm.parts else 0
            counts[name] = ArmCounts(total=total, events=min(events, total) if "total" in arm.parts else events)
    else:
        shared = _shared_bounds({name: arm.parts["buckets"] for name, arm in arms.items()}, warnings)
        units = {arm.unit for arm in arms.values()}
        divisor = 1000.0 if units == {"ms"} else 1.0
        bounds = [bound / divisor for bound in shared]
        for name, arm in arms.items():
            counts[name] = _buckets(name, arm.parts["buckets"], shared)
    return MetricCounts(
        metric=metric.name,
        baseline=counts.get("baseline"),
        canary=counts.get("canary"),
        bounds=bounds,
        warnings=warnings,
        queries=queries,
    )


def _shared_bounds(arms: Mapping[ArmName, Tally], warnings: list[str]) -> list[float]:
    bounds = {name: {c for c in part.counted if isinstance(c, float) and c < math.inf} for name, part in arms.items()}
    shared = set.intersection(*bounds.values())
    if not shared:
        shown = "; ".join(f"{name} {_show_bounds(found)}" for name, found in bounds.items())
        raise NoCounts(f"the arms' histograms have no bound in common ({shown}): use the same buckets for both")
    for name, found in bounds.items():
        if lost := found - shared:
            warnings.append(f"{name}: bounds that the other arm lacks were merged away: {_show_bounds(lost)}")
    return sorted(shared)


def _buckets(name: str, part: Tally, bounds: Sequence[float]) -> ArmCounts:
    cumulative = [part.counted[bound] for bound in (*bounds, math.inf)]
    buckets = [now - below for now, below in zip(cumulative, [0, *cumulative[:-1]], strict=True)]
    if any(bucket < 0 for bucket in buckets):
        raise NoCounts(f"{name}: the buckets are not cumulative (le={_show_bounds(bounds)} counted {cumulative})")
    if COUNT in part.counted and part.counted[COUNT] != cumulative[-1]:
        raise NoCounts(
            f"{name}: the +Inf bucket counted {cumulative[-1]}, the histogram's _count {part.counted[COUNT]}"
        )
    return ArmCounts(total=cumulative[-1], buckets=buckets)


def _show_bounds(bounds: Sequence[float] | set[float]) -> str:
    return ", ".join(f"{bound:g}" for bound in sorted(bounds)) or "none"
