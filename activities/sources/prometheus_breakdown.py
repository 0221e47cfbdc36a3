"""Where a metric's counts come from: the very series a look counts, added up by the values of their labels.

Exact as the look is: raw samples, restarts and births handled. The labels are those the series carry; nothing else is
queried, so a diagnosis costs one collection over a longer window.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from activities.sources.each_arm import NoCounts
from activities.sources.prometheus_arms import ArmRead, milliseconds, part_selectors, read_arm
from activities.sources.prometheus_groups import Column, Group
from activities.sources.prometheus_http import PrometheusHttp
from activities.sources.prometheus_levels import break_levels_down
from coalmine.errors import CoalmineError
from coalmine.records import ArmCounts, BreakdownRequest, Exemplar, LabelBreakdown, LabelCounts, MetricBreakdown
from coalmine.spec.canary import Arm
from coalmine.spec.metrics import Metric
from coalmine.spec.templates import PARTS, Part

TRACE_LABELS = ("trace_id", "traceID", "traceId", "TraceID", "trace")
"""Labels of an exemplar that name its trace, as the client libraries write it."""
_NOTHING = ArmCounts(total=0)


@dataclass(frozen=True)
class _Arms:
    """What was read of both arms; no baseline when only the canary runs."""

    canary: ArmRead
    baseline: ArmRead | None
    parts: tuple[Part, ...]
    picked_by: frozenset[str]

    @property
    def latency(self) -> bool:
        """Histograms are counted."""
        return "buckets" in self.parts


async def break_metric_down(http: PrometheusHttp, metric: Metric, request: BreakdownRequest) -> MetricBreakdown:
    """Break one metric down.

    Raises:
        SourceUnreachable: Prometheus did not answer in time.
        QueryRejected: Prometheus, or this adapter, cannot take the query.
    """
    try:
        if metric.kind in ("value", "threshold"):
            return await break_levels_down(http, metric, request)
        wanted = [read_arm(http, metric, request.arms.canary, "canary", request.window)]
        # An objective is the canary's own: its limit is what the events are held against.
        if request.compare and metric.kind != "slo":
            wanted.append(read_arm(http, metric, request.arms.baseline, "baseline", request.window))
        canary, *baseline = await asyncio.gather(*wanted)
    except NoCounts as error:
        return MetricBreakdown(metric=metric.name, reason=str(error))
    picked_by = _picked_by(metric, request.arms.canary)
    arms = _Arms(canary, baseline[0] if baseline else None, PARTS[metric.kind], picked_by)
    labels, bounds = await http.run(_labels, arms, request)
    exemplars, reason = await _exemplars(http, metric, request)
    return MetricBreakdown(metric=metric.name, labels=labels, bounds=bounds, exemplars=exemplars, reason=reason)


def _labels(arms: _Arms, request: BreakdownRequest) -> tuple[list[LabelBreakdown], list[float] | None]:
    counted: list[tuple[LabelBreakdown, list[_Value]]] = []
    for label in request.labels:
        carried = {part: any(label in dict(group.labels) for group in arms.canary.groups[part]) for part in arms.parts}
        if any(carried.values()):
            counted.append(_one_label(arms, label, carried, request.most_values))
    if not arms.latency:
        return [
            breakdown.model_copy(update={"values": [_ratio(v) for v in values]}) for breakdown, values in counted
        ], None
    # Only bounds that everything has in common can be compared; buckets are cumulative, so leaving some out is exact.
    tallied = [tally for _, values in counted for value in values for tally in (value.canary, value.baseline) if tally]
    shared = (
        set.intersection(*({c for c in one["buckets"] if isinstance(c, float)} for one in tallied))
        if tallied
        else set()
    )
    bounds = sorted(bound for bound in shared if bound < math.inf)
    if not bounds or math.inf not in shared:
        return [], None
    divisor = 1000.0 if arms.canary.unit == "ms" else 1.0
    listed = [
        breakdown.model_copy(update={"values": [_histogram(value, bounds) for value in values]})
        for breakdown, values in counted
    ]
    return listed, [bound / divisor for bound in bounds]


_Counted = Mapping[Part, Mapping[Column, int]]


@dataclass(frozen=True)
class _Value:
    """What one value of a label counted; None where an arm has no series of it."""

    value: str
    canary: _Counted | None
    baseline: _Counted | None

    def size(self) -> tuple[int, int]:
        """To sort by: events, then requests."""
        counted = self.canary or {}
        return sum(counted.get("events", {}).values()), max(
            [0, *counted.get("total", counted.get("buckets", {})).values()]
        )


def _one_label(arms: _Arms, label: str, carried: Mapping[Part, bool], most: int) -> tuple[LabelBreakdown, list[_Value]]:
    canary = _by_value(arms.canary, label)
    baseline = _by_value(arms.baseline, label) if arms.baseline is not None else {}
    values = [_Value(value, canary.get(value), baseline.get(value)) for value in sorted({*canary, *baseline})]
    values.sort(key=lambda value: value.size(), reverse=True)
    leading = arms.parts[0]
    told = LabelBreakdown(
        label=label,
        of_events=not arms.latency and (not carried.get("total") or label in arms.picked_by),
        folded=max(0, len(values) - most),
        canary_total=_requests(canary, leading),
        baseline_total=_requests(baseline, leading),
    )
    return told, values[:most]


def _requests(values: Mapping[str, _Counted], leading: Part) -> int:
    return sum(max([0, *counted.get(leading, {}).values()]) for counted in values.values())


def _picked_by(metric: Metric, arm: Arm) -> frozenset[str]:
    """Labels by which the events are picked out of all requests, such as a status code."""
    if "total" not in PARTS[metric.kind]:
        return frozenset()
    by = {
        part: {matcher.label for selector in part_selectors(metric, part, arm)[0] for matcher in selector.matchers}
        for part in PARTS[metric.kind]
    }
    return frozenset(by["events"] - by["total"])


def _by_value(read: ArmRead, label: str) -> dict[str, _Counted]:
    """Counts by part, by the values of a label; series without it count under the empty text."""
    split: dict[str, dict[Part, list[Group]]] = {}
    for part, groups in read.groups.items():
        for group in groups:
            value = dict(group.labels).get(label, "")
            split.setdefault(value, {name: [] for name in read.groups})[part].append(group)
    counted: dict[str, _Counted] = {}
    for value, parts in split.items():
        try:
            counted[value] = {part: read.count(part, groups).counted for part, groups in parts.items()}
        except NoCounts:
            # Series born within the window with nothing to count from: a look leaves them out with a warning too.
            continue
    return counted


def _ratio(value: _Value) -> LabelCounts:
    return LabelCounts(value=value.value, canary=_ratio_arm(value.canary), baseline=_ratio_arm(value.baseline))


def _ratio_arm(counted: _Counted | None) -> ArmCounts:
    if counted is None:
        return ArmCounts(total=0, events=0)
    return ArmCounts(total=counted.get("total", {}).get("", 0), events=counted["events"].get("", 0))


def _histogram(value: _Value, bounds: Sequence[float]) -> LabelCounts:
    return LabelCounts(
        value=value.value,
        canary=_histogram_arm(value.canary, bounds),
        baseline=_histogram_arm(value.baseline, bounds),
    )


def _histogram_arm(counted: _Counted | None, bounds: Sequence[float]) -> ArmCounts:
    if counted is None:
        return _NOTHING
    cumulative = [counted["buckets"][bound] for bound in (*bounds, math.inf)]
    buckets = [max(0, now - below) for now, below in zip(cumulative, [0, *cumulative[:-1]], strict=True)]
    return ArmCounts(total=cumulative[-1], buckets=buckets)


async def _exemplars(http: PrometheusHttp, metric: Metric, request: BreakdownRequest) -> tuple[list[Exemplar], str]:
    """The canary's exemplars, the slowest or newest first, and why there are none."""
    if not request.most_exemplars:
        return [], ""
    part: Part = "buckets" if metric.kind == "latency" else "events"
    start, end = milliseconds(request.window.start), milliseconds(request.window.end)
    try:
        selectors, unit = part_selectors(metric, part, request.arms.canary)
        answers = await asyncio.gather(*(http.exemplars(str(selector), start, end) for selector in selectors))
    except CoalmineError as error:
        return [], f"no exemplars: {error}"
    divisor = 1000.0 if unit == "ms" else 1.0
    read = [one for answer in answers for item in answer for one in _read(item, divisor)]
    # The store's period includes its start, where the window before ends.
    found = {one.trace_id: one for one in read if request.window.start < one.at <= request.window.end}

    def order(one: Exemplar) -> tuple[float, float]:
        return (one.value if metric.kind == "latency" else 0.0), one.at.timestamp()

    best = sorted(found.values(), key=order, reverse=True)[: request.most_exemplars]
    return best, "" if best else "no exemplars: the store holds none of the canary with a trace in this window"


def _read(item: Mapping[str, Any], divisor: float) -> list[Exemplar]:
    """The exemplars of one series that name a trace; what is malformed is left out."""
    found: list[Exemplar] = []
    series = {str(key): str(value) for key, value in dict(item.get("seriesLabels") or {}).items() if key != "__name__"}
    for one in item.get("exemplars") or []:
        try:
            own = {str(key): str(value) for key, value in dict(one["labels"]).items()}
            name = next(name for name in TRACE_LABELS if own.get(name))
            at = datetime.fromtimestamp(float(one["timestamp"]), UTC)
            value = float(one["value"]) / divisor
        except (KeyError, TypeError, ValueError, StopIteration, OverflowError, OSError):
            continue
        if math.isfinite(value):
            found.append(Exemplar(trace_id=own[name], at=at, value=value, labels=series))
    return found
