"""The metric source contract: exact counts of a window, or a plain reason why there are none."""

from __future__ import annotations

from typing import Protocol

from coalmine.records import Check, CollectRequest, MetricCounts
from coalmine.spec.canary import Arms, Metric, Source


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
