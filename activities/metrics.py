"""The activity that collects the counts of one look, for all its metrics at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog
from temporalio import activity

from activities.beating import beating
from activities.sources.base import MetricSource
from activities.traffic import RoutersByName
from coalmine.errors import CoalmineError
from coalmine.ownership import drift_of
from coalmine.records import COLLECT, Collected, CollectRequest, Drift, MetricCounts, RouteWatch
from coalmine.records.beyond import within
from coalmine.spec.metrics import Metric
from coalmine.telemetry.spans import span

_SPARE = timedelta(seconds=0.5)
READ_WITHIN = 2.0
"""Seconds a route may take to be read back beside a look."""

log = structlog.stdlib.get_logger("coalmine.metrics")


class MetricsActivities:
    """Collecting, over the metric stores of this worker."""

    def __init__(self, sources: Mapping[str, MetricSource], routers: RoutersByName | None = None) -> None:
        """``sources`` holds one adapter by ``Source.kind``, such as ``prometheus``; ``routers`` read routes back."""
        self._sources = sources
        self._routers = routers

    @activity.defn(name=COLLECT.name)
    async def collect(self, request: CollectRequest) -> Collected:
        """Exact counts of the window for every metric; what cannot be had is ``no_data`` with its reason.

        A store that refuses or does not answer never fails the look: a metric without data is something the judge
        decides on, and the other metrics still count. Ends before the caller's own timeout. Meanwhile the route is read
        back; one that cannot be read is no drift, for nothing is known of it.
        """
        limit = _time_left()
        async with beating():
            drift = asyncio.create_task(self._drift(request.watch, limit))
            try:
                each = (self._collect_one(metric, request, limit) for metric in request.metrics)
                counts = await asyncio.gather(*each)
                return Collected(metrics=counts, window=request.window, drift=await drift)
            finally:
                drift.cancel()

    async def _drift(self, watch: RouteWatch | None, limit: float | None) -> Drift | None:
        if watch is None or self._routers is None:
            return None
        try:
            async with asyncio.timeout(min(READ_WITHIN, limit or READ_WITHIN)):
                shown = await self._routers[watch.route.router].read(watch.route, sorted(watch.weights))
        except (CoalmineError, TimeoutError) as error:
            log.warning("route not read back", route=watch.route.name, why=str(error) or "no answer in time")
            return None
        return drift_of(watch.weights, shown)

    async def _collect_one(self, metric: Metric, request: CollectRequest, limit: float | None) -> MetricCounts:
        with span("metric.collect", metric=metric.name, source=metric.source) as marks:
            counts = await self._counts(metric, request, limit)
            marks.set(status=counts.status)
            return counts

    async def _counts(self, metric: Metric, request: CollectRequest, limit: float | None) -> MetricCounts:
        source = request.sources.get(metric.source)
        if source is None:
            known = ", ".join(sorted(request.sources)) or "none"
            return _no_data(metric, f"metrics.{metric.name}.source: no source {metric.source!r} in `sources` ({known})")
        adapter = self._sources.get(source.kind)
        if adapter is None:
            known = ", ".join(sorted(self._sources)) or "none"
            return _no_data(metric, f"this worker serves no source of kind {source.kind!r} (it serves {known})")
        try:
            async with asyncio.timeout(limit):
                # The judge would refuse the whole look for one such number, and with it the rollout.
                return within(await adapter.collect(source, metric, request))
        except TimeoutError:
            return _no_data(metric, f"unreachable: {metric.source} did not answer within the look's {limit:g} s")
        except CoalmineError as error:
            kind = "unreachable" if error.retryable else "rejected"
            return _no_data(metric, f"{kind}: {error}")


def _no_data(metric: Metric, reason: str) -> MetricCounts:
    return MetricCounts(metric=metric.name, status="no_data", reason=reason)


def _time_left() -> float | None:
    """Seconds until the caller gives up, less what is needed to answer; None when nobody waits with a limit."""
    if not activity.in_activity():
        return None
    limit = activity.info().start_to_close_timeout
    if limit is None:
        return None
    return (limit - min(_SPARE, limit / 4)).total_seconds()
