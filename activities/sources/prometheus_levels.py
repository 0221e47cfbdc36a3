"""Where a level comes from: gauges by the values of their labels, and the series that a threshold's query adds up."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping, Sequence

from activities.sources.each_arm import NoCounts
from activities.sources.prometheus_arms import milliseconds, refuse_partial
from activities.sources.prometheus_http import PrometheusHttp
from activities.sources.prometheus_series import Labels
from activities.sources.prometheus_values import read_instances
from coalmine.records import ArmCounts, BreakdownRequest, LabelBreakdown, LabelCounts, MetricBreakdown
from coalmine.spec.metrics import Metric
from coalmine.spec.selectors import fill_text

_AROUND = re.compile(r"\s*(?:sum|max|min|avg)\s*\(", re.IGNORECASE)
"""Operators that make one number out of many series."""
_Levels = Sequence[tuple[Labels, float]]


async def break_levels_down(http: PrometheusHttp, metric: Metric, request: BreakdownRequest) -> MetricBreakdown:
    """Break a metric of kind ``value`` or ``threshold`` down.

    Raises:
        NoCounts: there are no levels; the message is the reason.
        SourceUnreachable: Prometheus did not answer in time.
        QueryRejected: Prometheus, or this adapter, cannot take the query.
    """
    if metric.kind == "threshold":
        return await _threshold(http, metric, request)
    wanted = [read_instances(http, metric, request.arms.canary, "canary", request.window)]
    if request.compare:
        wanted.append(read_instances(http, metric, request.arms.baseline, "baseline", request.window))
    canary, *baseline = await asyncio.gather(*wanted)
    labels = _labels(canary.means, baseline[0].means if baseline else [], request)
    return MetricBreakdown(metric=metric.name, labels=labels)


async def _threshold(http: PrometheusHttp, metric: Metric, request: BreakdownRequest) -> MetricBreakdown:
    query = fill_text(metric.query or "", request.arms.canary)
    inner = inside(query)
    if inner is None:
        reason = f"not supported: {query} is no sum, max, min or avg of series that could be told apart"
        return MetricBreakdown(metric=metric.name, supported=False, reason=reason)
    answer = await http.query(inner, milliseconds(request.window.end))
    refuse_partial(answer.warnings)
    levels: list[tuple[Labels, float]] = []
    for item in answer.result:
        # A scalar, or a range: what stands within was no vector of series after all.
        if not isinstance(item, dict) or "value" not in item:
            reason = f"not supported: {inner} answers no series that could be told apart"
            return MetricBreakdown(metric=metric.name, supported=False, reason=reason)
        level = float(item["value"][1])
        if math.isfinite(level):
            levels.append((tuple(sorted(item["metric"].items())), level))
    if not levels:
        raise NoCounts(f"empty: {inner} answers no series with a number")
    return MetricBreakdown(metric=metric.name, labels=_labels(levels, [], request))


def inside(query: str) -> str | None:
    """What a query's outermost ``sum``, ``max``, ``min`` or ``avg`` is taken of; None when none is around it all."""
    found = _AROUND.match(query)
    if found is None or not query.rstrip().endswith(")"):
        return None
    depth, quote, at = 1, "", found.end()
    end = len(query.rstrip()) - 1
    while at < end:
        sign = query[at]
        if quote:
            if sign == "\\" and quote != "`":
                at += 1
            elif sign == quote:
                quote = ""
        elif sign in "\"'`":
            quote = sign
        else:
            depth += (sign == "(") - (sign == ")")
            if not depth:
                return None
        at += 1
    return query[found.end() : end].strip() if not quote and depth == 1 else None


def _labels(canary: _Levels, baseline: _Levels, request: BreakdownRequest) -> list[LabelBreakdown]:
    told: list[LabelBreakdown] = []
    for label in request.labels:
        if not any(label in dict(labels) for labels, _ in canary):
            continue
        mine, others = (_by_value(levels, label) for levels in (canary, baseline))
        values = [
            LabelCounts(value=value, canary=_arm(mine.get(value, [])), baseline=_arm(others.get(value, [])))
            for value in sorted({*mine, *others})
        ]
        told.append(LabelBreakdown(label=label, values=values))
    return told


def _by_value(levels: _Levels, label: str) -> Mapping[str, list[float]]:
    split: dict[str, list[float]] = {}
    for labels, level in levels:
        split.setdefault(dict(labels).get(label, ""), []).append(level)
    return split


def _arm(levels: list[float]) -> ArmCounts:
    return ArmCounts(total=len(levels), values=levels)
