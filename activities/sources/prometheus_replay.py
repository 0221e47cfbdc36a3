"""A past period, read from Prometheus look by look: both versions, or the live one split by a label."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from activities.sources.prometheus import PrometheusSource
from activities.sources.prometheus_arms import milliseconds
from coalmine.errors import InputError, QueryRejected
from coalmine.records import CollectRequest, MetricCounts, Window, stamped
from coalmine.records.beyond import within
from coalmine.spec.canary import Arm, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.selectors import Matcher
from coalmine.spec.sources import Source
from coalmine.spec.templates import PARTS, metric_query

AT_ONCE = 8
"""Looks that are asked for at the same time."""


class PrometheusReplay:
    """Reads looks of the past from one Prometheus; close it after use."""

    def __init__(self, source: Source, metrics: Sequence[Metric], arms: Arms) -> None:
        """Args:
        source: where to read.
        metrics: what to read.
        arms: the versions.

        Raises:
            InputError: a metric says nowhere what to read.
        """
        self._source, self._metrics, self._arms = source, metrics, arms
        self._adapter = PrometheusSource()
        for metric in metrics:
            for part in PARTS[metric.kind]:
                try:
                    metric_query(metric, part, arms.baseline)
                except ValueError as error:
                    raise InputError(str(error)) from None

    def close(self) -> None:
        """Close connections and threads."""
        self._adapter.close()

    async def arms(self, windows: Sequence[Window]) -> list[list[MetricCounts]]:
        """What both versions counted, window by window; a number that no evidence can keep is no data.

        Raises:
            SourceError: Prometheus did not answer, or refused.
        """
        return await self._all([(self._metrics, self._arms, window, True) for window in windows])

    async def values(self, label: str, since: datetime, until: datetime) -> list[str]:
        """The values of a label that series of the live version's requests had in a period, sorted.

        Raises:
            SourceError: as ``arms``.
        """
        found: set[str] = set()
        seconds = max(1, round((until - since).total_seconds()))
        for metric in self._metrics:
            http = self._adapter.client(metric.source, self._source)
            for selector in metric_query(metric, PARTS[metric.kind][0], self._arms.baseline).selectors:
                text = f"group by ({label}) (last_over_time({selector}[{seconds}s]))"
                answer = await http.query(text, milliseconds(until))
                found |= {item["metric"][label] for item in answer.series("value") if label in item["metric"]}
        return sorted(found)

    async def split(
        self, label: str, values: Sequence[str], windows: Sequence[Window]
    ) -> list[dict[str, list[MetricCounts]]]:
        """What each value of a label counted of the live version, window by window, as counts of the canary.

        Raises:
            SourceError: as ``arms``.
        """
        live = Arms(baseline=self._arms.baseline, canary=self._arms.baseline)
        narrowed = {
            value: [_narrowed(metric, self._arms.baseline, Matcher(label, "=", value)) for metric in self._metrics]
            for value in values
        }
        asked = [(narrowed[value], live, window, False) for window in windows for value in values]
        told = iter(await self._all(asked))
        return [{value: next(told) for value in values} for _ in windows]

    async def _all(self, asked: Sequence[tuple[Sequence[Metric], Arms, Window, bool]]) -> list[list[MetricCounts]]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(metrics: Sequence[Metric], arms: Arms, window: Window, compare: bool) -> list[MetricCounts]:
            sources = {metric.source: self._source for metric in metrics}
            request = CollectRequest(window=window, metrics=list(metrics), arms=arms, sources=sources, compare=compare)
            async with gate:
                try:
                    # As in a look of a rollout: one odd number costs this metric this look.
                    return [within(await self._adapter.collect(self._source, metric, request)) for metric in metrics]
                except QueryRejected as error:
                    raise QueryRejected(f"look to {stamped(window.end)}: {error}") from None

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(*look)) for look in asked]
        except ExceptionGroup as failed:
            # One refusal is like the others.
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]


def _narrowed(metric: Metric, arm: Arm, matcher: Matcher) -> Metric:
    """The metric of one arm, of series with one value of a label only."""
    changes: dict[str, Any] = {"template": None}
    for part in PARTS[metric.kind]:
        query = metric_query(metric, part, arm)
        changes[part] = [str(replace(one, matchers=(*one.matchers, matcher))) for one in query.selectors]
        changes["unit"] = query.unit
    return metric.model_copy(update=changes)
