"""The long and short windows of an objective's burn rates: exact counts of the canary, up to the look's end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from activities.sources.each_arm import NoCounts
from activities.sources.prometheus_arms import tally_arm
from activities.sources.prometheus_http import PrometheusHttp
from coalmine.records import BurnCounts, Window
from coalmine.spec.canary import Arm
from coalmine.spec.metrics import Metric


async def burn_counts(
    http: PrometheusHttp, metric: Metric, arm: Arm, window: Window
) -> tuple[list[BurnCounts], list[str]]:
    """Counts of every burn window that has any, shortest first, and the queries.

    A window reaches back before the canary's first request without harm: there was nothing to count. One that cannot be
    counted exactly (a gap at its beginning) is left out, and its burn rate does not fire in this look.

    Raises:
        SourceUnreachable: the store did not answer in time.
        QueryRejected: the query cannot be used.
    """
    if metric.slo is None:
        return [], []
    lengths = sorted({length for burn in metric.slo.burn for length in (burn.long, burn.short)})
    found = await asyncio.gather(*(_one(http, metric, arm, window, length) for length in lengths))
    kept = [one for one in found if one is not None]
    return [counts for counts, _ in kept], [query for _, queries in kept for query in queries]


async def _one(
    http: PrometheusHttp, metric: Metric, arm: Arm, window: Window, length: timedelta
) -> tuple[BurnCounts, list[str]] | None:
    try:
        tally = await tally_arm(http, metric, arm, "canary", Window(start=window.end - length, end=window.end))
    except NoCounts:
        return None
    total = tally.parts["total"].counted.get("", 0)
    events = min(tally.parts["events"].counted.get("", 0), total)
    return BurnCounts(seconds=length.total_seconds(), total=total, events=events), tally.queries
