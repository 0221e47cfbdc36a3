"""Numbers of a window that no evidence can keep: whoever counts leaves them out, and the judge refuses them."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from coalmine.records.metrics import LARGEST_COUNT, ArmCounts, MetricCounts
from coalmine.spec.faults import shown

LARGEST_VALUE = 1e100
"""Gauges beyond it, either way, are no measurements."""


def beyond(counts: MetricCounts) -> str:
    """The first such number, as ``canary.total: ... is over ...``; empty when there is none."""
    if counts.status == "no_data":
        # Whatever numbers came with it, nobody reads them.
        return ""
    for name, arm in (("canary", counts.canary), ("baseline", counts.baseline)):
        if arm is None or _is_plain(arm):
            continue
        for field, count in _counts(arm):
            if count > LARGEST_COUNT:
                return f"{name}.{field}: {shown(count)} is over 2^53, where counts are no longer exact"
        for index, value in enumerate(arm.values or ()):
            if LARGEST_VALUE < abs(value) < inf:
                return f"{name}.values[{index}]: {value:g} is beyond {LARGEST_VALUE:g}: use another unit"
    return ""


def within(counts: MetricCounts) -> MetricCounts:
    """The counts, or no data with the reason where one is beyond: an odd number costs one metric a look."""
    said = beyond(counts)
    return MetricCounts(metric=counts.metric, status="no_data", reason=f"rejected: {said}") if said else counts


def _is_plain(arm: ArmCounts) -> bool:
    """Seen at a glance, as nearly all are: it is asked at every look."""
    most = sum(arm.buckets) if arm.buckets else arm.total
    return most <= LARGEST_COUNT and (arm.events or 0) <= LARGEST_COUNT and not (arm.burn or arm.values)


def _counts(arm: ArmCounts) -> Iterator[tuple[str, int]]:
    if arm.buckets:
        # A histogram's total is the sum of its buckets, whatever is said beside them.
        yield "buckets", sum(arm.buckets)
    else:
        yield "total", arm.total
    yield "events", arm.events or 0
    for index, window in enumerate(arm.burn or ()):
        yield f"burn[{index}].total", window.total
        yield f"burn[{index}].events", window.events
