"""Checks what a look brought before it is believed, and says per metric whether there is something to judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from coalmine.errors import InputError
from coalmine.records import ArmCounts, MetricCounts
from coalmine.records.beyond import LARGEST_VALUE
from coalmine.spec.metrics import Metric

Bounds = tuple[float, ...]
"""Upper bounds of a histogram's buckets in seconds, rising, without +Inf."""


class Arm(NamedTuple):
    """One arm's window; what its kind does not have stays empty."""

    total: int = 0
    events: int = 0
    buckets: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    burn: tuple[tuple[float, int, int], ...] = ()
    """Seconds, requests and bad ones of each burn window."""


class MetricWindow(NamedTuple):
    """One metric's window; ``missing`` says why there is nothing to judge, empty when there is."""

    metric: Metric
    canary: Arm = Arm()
    baseline: Arm = Arm()
    bounds: Bounds = ()
    value: float = 0.0
    seconds: float | None = None
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
    if counts.seconds is not None and not (isfinite(counts.seconds) and counts.seconds > 0):
        raise InputError(f"counts.{metric.name}.seconds: {counts.seconds:g} is no length of a window: leave it out")
    if metric.kind == "threshold":
        return _read_value(metric, counts)
    for name, arm in (("canary", counts.canary), ("baseline", counts.baseline)):
        if arm is None and (compare or name == "canary"):
            return MetricWindow(metric, missing=f"the {name} has no counts")
    bounds = tuple(counts.bounds or ())
    if metric.kind == "latency":
        _check_bounds(metric.name, bounds)
    read = _ARMS[metric.kind]
    arms = {
        name: read(f"counts.{metric.name}.{name}", arm, bounds) if arm is not None else Arm()
        for name, arm in (("canary", counts.canary), ("baseline", counts.baseline if compare else None))
    }
    missing = "the histogram has no bounds" if metric.kind == "latency" and not bounds else ""
    if metric.kind == "value":
        empty = [name for name, arm in arms.items() if not arm.values and (compare or name == "canary")]
        missing = f"no instance of the {' and the '.join(empty)} has a value" if empty else ""
    return MetricWindow(metric, arms["canary"], arms["baseline"], bounds, seconds=counts.seconds, missing=missing)


def _read_value(metric: Metric, counts: MetricCounts) -> MetricWindow:
    if counts.value is None:
        return MetricWindow(metric, missing="the query has no answer")
    if not isfinite(counts.value):
        raise InputError(f"counts.{metric.name}.value: {counts.value} is no number to hold a limit to: report no_data")
    return MetricWindow(metric, value=counts.value, seconds=counts.seconds)


def _ratio_arm(place: str, counts: ArmCounts, bounds: Bounds) -> Arm:
    _check_total(place, counts)
    events = _events(place, counts)
    # Two counters scraped an instant apart: events may run ahead of requests.
    return Arm(counts.total, min(events, counts.total))


def _latency_arm(place: str, counts: ArmCounts, bounds: Bounds) -> Arm:
    _check_total(place, counts)
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


def _value_arm(place: str, counts: ArmCounts, bounds: Bounds) -> Arm:
    if counts.values is None:
        raise InputError(f"{place}.values: missing: a value needs one number for every instance")
    for index, value in enumerate(counts.values):
        if not isfinite(value):
            raise InputError(f"{place}.values[{index}]: {value} is no number: leave the instance out")
        if abs(value) > LARGEST_VALUE:
            raise InputError(f"{place}.values[{index}]: {value:g} is beyond {LARGEST_VALUE:g}: use another unit")
    return Arm(values=tuple(counts.values))


def _count_arm(place: str, counts: ArmCounts, bounds: Bounds) -> Arm:
    return Arm(events=_events(place, counts))


def _slo_arm(place: str, counts: ArmCounts, bounds: Bounds) -> Arm:
    arm = _ratio_arm(place, counts, bounds)
    burn: list[tuple[float, int, int]] = []
    for index, window in enumerate(counts.burn or ()):
        at = f"{place}.burn[{index}]"
        if not (isfinite(window.seconds) and window.seconds > 0):
            raise InputError(f"{at}.seconds: {window.seconds:g} is no length of a window: give seconds above 0")
        for key, number in (("total", window.total), ("events", window.events)):
            if number < 0:
                raise InputError(f"{at}.{key}: {number} is negative: give the counts of the window")
        burn.append((window.seconds, window.total, min(window.events, window.total)))
    return Arm(arm.total, arm.events, burn=tuple(burn))


_ARMS: Mapping[str, Callable[[str, ArmCounts, Bounds], Arm]] = {
    "ratio": _ratio_arm,
    "latency": _latency_arm,
    "value": _value_arm,
    "count": _count_arm,
    "slo": _slo_arm,
}


def _check_total(place: str, counts: ArmCounts) -> None:
    if counts.total < 0:
        raise InputError(f"{place}.total: {counts.total} is negative: give the requests of the window")


def _events(place: str, counts: ArmCounts) -> int:
    if counts.events is None:
        raise InputError(f"{place}.events: missing: give the events of the window, 0 when there were none")
    if counts.events < 0:
        raise InputError(f"{place}.events: {counts.events} is negative: give the events of the window")
    return counts.events


def _check_bounds(name: str, bounds: Bounds) -> None:
    if wrong := _wrong(bounds):
        raise InputError(f"counts.{name}.bounds: {list(bounds)} {wrong}: give upper bounds in seconds, without +Inf")


@lru_cache(maxsize=64)
def _wrong(bounds: Bounds) -> str:
    """What is wrong with bounds; empty when nothing is."""
    if not all(map(isfinite, bounds)):
        return "are not all numbers"
    return "" if all(lower < upper for lower, upper in pairwise(bounds)) else "do not rise"
