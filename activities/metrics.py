"""The activity that collects the counts of one look, for all its metrics at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from temporalio import activity

from activities.beating import beating
from activities.sources.base import MetricSource
from coalmine.errors import CoalmineError
from coalmine.records import COLLECT, Collected, CollectRequest, MetricCounts
from coalmine.spec.canary import Metric

_SPARE = timedelta(seconds=0.5)


class MetricsActivities:
    """Collecting, over the metric stores of this worker."""

    def __init__(self, sources: Mapping[str, MetricSource]) -> None:
        """``sources`` holds one adapter by ``Source.kind``, such as ``prometheus``."""
        self._sources = sources

    @activity.defn(name=COLLECT.name)
    async def collect(self, request: CollectRequest) -> Collected:
        """Exact counts of the window for every metric; what cannot be had is ``no_data`` with its reason.

        A store that refuses or does not answer never fails the look: a metric without data is something the judge
        decides on, and the other metrics still count. Ends before the caller's own timeout.
        """
        limit = _time_left()
        async with beating():
            counts = await asyncio.gather(*(self._collect_one(metric, request, limit) for metric in request.metrics))
        return Collected(metrics=counts, window=request.window)

    async def _collect_one(self, metric: Metric, request: CollectRequest, limit: float | None) -> MetricCounts:
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
                return await adapter.collect(source, metric, request)
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
