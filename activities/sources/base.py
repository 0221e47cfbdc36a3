"""The metric source contract: exact counts of a window, or a plain reason why there are none."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from coalmine.records import BreakdownRequest, Check, CollectRequest, MetricBreakdown, MetricCounts
from coalmine.spec.canary import Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source


class MetricSource(Protocol):
    """One metric store."""

    async def collect(self, source: Source, metric: Metric, request: CollectRequest) -> MetricCounts:
        """Exact integer counts of ``request.window`` for the arms; a pure function of what the store holds.

        Missing, stale, partial or NaN data is ``status="no_data"`` with the reason, never zero and never an exception.

        Raises:
            SourceUnreachable: the store did not answer in time (worth a retry).
            QueryRejected: the store refused the query.
        """
        ...

    async def check(self, source: Source, metric: Metric, arms: Arms) -> list[Check]:
        """For ``validate --connect``: whether the queries answer for both arms, and with what (never raises).

        Bounds equal between the arms, the objective a bound, requests per second, scrape interval, clock skew.
        """
        ...


@runtime_checkable
class BreakdownSource(Protocol):
    """A metric store that can also say where counts come from. Optional: what lacks it is ``not supported``."""

    async def break_down(self, source: Source, metric: Metric, request: BreakdownRequest) -> MetricBreakdown:
        """One metric by each label its series carry, over one window, and exemplars of the canary where there are some.

        What cannot be had is said in ``reason``.

        Raises:
            SourceUnreachable, QueryRejected: as ``collect``.
        """
        ...


async def break_down(adapter: object, source: Source, metric: Metric, request: BreakdownRequest) -> MetricBreakdown:
    """Ask an adapter that may or may not know breakdowns.

    Raises:
        SourceUnreachable, QueryRejected: as ``BreakdownSource.break_down``.
    """
    if isinstance(adapter, BreakdownSource):
        return await adapter.break_down(source, metric, request)
    reason = f"not supported: sources of kind {source.kind} cannot break a metric down"
    return MetricBreakdown(metric=metric.name, supported=False, reason=reason)
