"""Checks what a look brought before it is believed, and says per metric whether there is something to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from coalmine.errors import InputError
from coalmine.records import ArmCounts, MetricCounts
from coalmine.spec.canary import Metric


@dataclass(frozen=True)
class Arm:
    """One arm's window. ``buckets`` are empty for a ratio."""

    total: int = 0
    events: int = 0
    buckets: tuple[int, ...] = ()


@dataclass(frozen=True)
class MetricWindow:
    """One metric's window; ``missing`` says why there is nothing to judge, empty when there is."""

    metric: Metric
    canary: Arm = Arm()
    baseline: Arm = Arm()
    bounds: tuple[float, ...] = ()
    missing: str = ""


def read_windows(metrics: Sequence[Metric], counts: Sequence[MetricCounts], *, compare: bool) -> list[MetricWindow]:
    """The windows in the order of the metrics; a metric without counts is missing.

    Raises:
        InputError: counts of an unknown metric, twice the same one, or counts that cannot be; names field and value.
    """
    by_name: dict[str, MetricCounts] = {}
    known = {metric.name for metric in metrics}
    for one in counts:
        if one.metric not in known:
            raise InputError(f"counts: {one.metric!r} is not a metric of this judge ({', '.join(sorted(known))})")
        if one.metric in by_name:
            raise InputError(f"counts: {one.metric!r} comes twice: give each metric one window a look")
        by_name[one.metric] = one
    return [_read(metric, by_name.get(metric.name), compare) for metric in metrics]


def _read(metric: Metric, counts: MetricCounts | None, compare: bool) -> MetricWindow:
    if counts is None:
        return MetricWindow(metric, missing="no counts in this look")
    if counts.status == "no_data":
        return MetricWindow(metric, missing=counts.reason or "no data")
    for name, arm in (("canary", counts.canary), ("baseline", counts.baseline)):
        if arm is None and (compare or name == "canary"):
            return MetricWindow(metric, missing=f"the {name} has no counts")
    bounds = tuple(counts.bounds or ())
    if metric.kind == "latency":
        _check_bounds(metric.name, bounds)
    return MetricWindow(
        metric,
        canary=_arm(metric, "canary", counts.canary, bounds),
        baseline=_arm(metric, "baseline", counts.baseline, bounds) if compare else Arm(),
        bounds=bounds,
        missing="the histogram has no bounds" if metric.kind == "latency" and not bounds else "",
    )


def _arm(metric: Metric, name: str, counts: ArmCounts | None, bounds: tuple[float, ...]) -> Arm:
    if counts is None:
        return Arm()
    place = f"counts.{metric.name}.{name}"
    if counts.total < 0:
        raise InputError(f"{place}.total: {counts.total} is negative: give the requests of the window")
    if metric.kind == "ratio":
        if counts.events is None:
            raise InputError(f"{place}.events: missing: a ratio needs the events of the window")
        if counts.events < 0:
            raise InputError(f"{place}.events: {counts.events} is negative: give the events of the window")
        # Two counters scraped an instant apart: events may run ahead of requests.
        return Arm(counts.total, min(counts.events, counts.total))
    if counts.buckets is None:
        raise InputError(f"{place}.buckets: missing: latency needs the requests per bucket")
    if len(counts.buckets) != len(bounds) + 1:
        raise InputError(
            f"{place}.buckets: {len(counts.buckets)} buckets for {len(bounds)} bounds: "
            f"there is one for each bound and one for +Inf, so {len(bounds) + 1}; both arms need the same bounds"
        )
    if min(counts.buckets) < 0:
        raise InputError(f"{place}.buckets: {min(counts.buckets)} is negative: give counts per bucket, not cumulative")
    return Arm(sum(counts.buckets), buckets=tuple(counts.buckets))


def _check_bounds(name: str, bounds: tuple[float, ...]) -> None:
    if any(not lower < upper for lower, upper in pairwise(bounds)):
        raise InputError(
            f"counts.{name}.bounds: {list(bounds)} do not rise: give upper bounds in seconds, without +Inf"
        )
