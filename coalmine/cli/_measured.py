"""Asking the metric sources what the live version does now: requests per second, event rates, histograms."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from activities.sources.registry import make_source
from coalmine.errors import InputError
from coalmine.records import ArmCounts, CollectRequest, MetricCounts, Window
from coalmine.spec.canary import Arms, CanarySpec
from coalmine.spec.metrics import Metric

LOOKED_BACK = (timedelta(hours=1), timedelta(minutes=10), timedelta(minutes=1))
"""Periods that are asked for, the longest first: rare events need a long one, a young service has none."""


@dataclass(frozen=True)
class Measured:
    """One metric of the live version."""

    counts: ArmCounts
    bounds: tuple[float, ...]
    period: timedelta

    @property
    def rps(self) -> float:
        """Requests per second."""
        return self.counts.total / self.period.total_seconds()


def measure(spec: CanarySpec, kinds: tuple[str, ...]) -> dict[str, Measured]:
    """What each metric of these kinds counted for the baseline lately, by name.

    Raises:
        InputError: a metric has no counts, or no requests; says which and why.
        SourceError: a source did not answer, or refused the query.
    """
    return asyncio.run(_measure(spec, [metric for metric in spec.metrics if metric.kind in kinds]))


async def _measure(spec: CanarySpec, metrics: list[Metric]) -> dict[str, Measured]:
    found = await asyncio.gather(*(_of(spec, metric) for metric in metrics), return_exceptions=True)
    measured: dict[str, Measured] = {}
    for metric, one in zip(metrics, found, strict=True):
        # The first in the spec's order, not the first to fail: the same question is told the same.
        if isinstance(one, BaseException):
            raise one
        measured[metric.name] = one
    return measured


async def _of(spec: CanarySpec, metric: Metric) -> Measured:
    source = spec.sources[metric.source]
    adapter = make_source(source.kind)
    # Alone: the live version takes all traffic before a rollout, and the new one may not exist yet.
    live = Arms(baseline=spec.arms.baseline, canary=spec.arms.baseline)
    end = datetime.now(UTC) - source.every - source.flush
    reason = ""
    for period in (*LOOKED_BACK, *([4 * source.every] if source.every else [])):
        request = CollectRequest(
            window=Window(start=end - period, end=end),
            metrics=[metric],
            arms=live,
            sources={metric.source: source},
            compare=False,
        )
        counts: MetricCounts = await adapter.collect(source, metric, request)
        if counts.status == "ok" and counts.canary is not None and _says(metric, counts.canary):
            return Measured(counts.canary, tuple(counts.bounds or ()), period)
        reason = counts.reason.removeprefix("canary: ").replace("the canary", "it") or "no requests"
    version = spec.arms.baseline.version
    raise InputError(f"--connect: {metric.name} says nothing of {version}: {reason}; give --rps and --baseline instead")


def _says(metric: Metric, counts: ArmCounts) -> bool:
    """Whether there is something to go by: requests, or instances; events may be none."""
    return metric.kind == "count" or bool(counts.total or counts.values)
