"""Histograms of very many bounds are judged on fewer of them, so that evidence stays a few kilobytes.

What evidence keeps of a histogram grows with its buckets, and with the digits of its bounds. Every second bound of a
grid that fine, or every third, says as much of a percentile as the grids most services have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import isfinite

import numpy as np

from coalmine.analysis.latency import merge_buckets, objective_bound
from coalmine.analysis.packed_bounds import pack_bounds
from coalmine.analysis.windows import Bounds
from coalmine.records import ArmCounts, MetricCounts
from coalmine.spec.metrics import Metric

MOST_BOUNDS = 70
MOST_LETTERS = 300
"""Of the text evidence keeps the bounds as: twenty-five with endless decimals are within it."""


def coarsened(counts: Sequence[MetricCounts], metrics: Sequence[Metric]) -> list[MetricCounts]:
    """The counts of a look, histograms on the bounds they are judged on. What cannot be read is left as it is."""
    latencies = {metric.name: metric for metric in metrics if metric.kind == "latency"}
    return [_coarsened(one, latencies) if one.bounds else one for one in counts]


def judged_bounds(bounds: Bounds, metric: Metric) -> Bounds:
    """Those of the bounds the metric is judged on: all, or as many as there is room for, evenly chosen.

    The lowest and the highest are among them, and the objective's.
    """
    return _judged(bounds, None if metric.objective is None else metric.objective.under.total_seconds())


@lru_cache(maxsize=256)
def _judged(bounds: Bounds, objective: float | None) -> Bounds:
    if not all(map(isfinite, bounds)) or not all(lower < upper for lower, upper in pairwise(bounds)):
        return bounds
    last = len(bounds) - 1
    always = {0, -1 if objective is None else objective_bound(bounds, objective)}
    kept = bounds
    for step in range(1, len(bounds) + 1):
        kept = tuple(bound for at, bound in enumerate(bounds) if (last - at) % step == 0 or at in always)
        if len(kept) <= MOST_BOUNDS and len(pack_bounds({"": kept})) <= MOST_LETTERS:
            break
    return kept


def _coarsened(counts: MetricCounts, latencies: Mapping[str, Metric]) -> MetricCounts:
    bounds = tuple(counts.bounds or ())
    metric = latencies.get(counts.metric)
    if metric is None or (kept := judged_bounds(bounds, metric)) == bounds:
        return counts
    arms = {"canary": counts.canary, "baseline": counts.baseline}
    if not all(_fits(arm, bounds) for arm in arms.values() if arm is not None):
        return counts
    merged = {name: _merged(arm, bounds, kept) for name, arm in arms.items() if arm is not None}
    return counts.model_copy(update={"bounds": [*kept], **merged})


def _fits(arm: ArmCounts, bounds: Bounds) -> bool:
    return arm.buckets is not None and len(arm.buckets) == len(bounds) + 1 and min(arm.buckets) >= 0


def _merged(arm: ArmCounts, bounds: Bounds, kept: Bounds) -> ArmCounts:
    merged = merge_buckets(np.array(arm.buckets, float), bounds, kept)
    return arm.model_copy(update={"buckets": [int(count) for count in merged.tolist()]})
