"""Which way a metric of each kind is ranked."""

from __future__ import annotations

from coalmine.diagnosis import events, levels, ranking
from coalmine.diagnosis.ranking import Found
from coalmine.records import MetricBreakdown
from coalmine.spec.metrics import Metric


def rank(metric: Metric, breakdown: MetricBreakdown, *, compare: bool, share: float | None = None) -> Found:
    """Rank every label of one metric.

    Args:
        metric: Its objective, ``max`` or limits say what is slow, and what is too much where there is no baseline.
        breakdown: What a source gives by label.
        compare: Both arms ran; else the limit stands in for the baseline.
        share: The canary's part of the traffic, 0-1; None where it is not known. Kind ``count`` needs it.
    """
    if metric.kind == "count":
        return events.rank_events(metric, breakdown, share if compare else None, compare=compare)
    if metric.kind in ("value", "threshold"):
        return levels.rank_levels(metric, breakdown, compare=compare)
    # An objective is the canary's own: a baseline that breaks it too excuses nothing.
    return ranking.rank_shares(metric, breakdown, compare=compare and metric.kind != "slo")
