"""Which metric's totals say best how many requests each arm had."""

from __future__ import annotations

from collections.abc import Iterable

from coalmine.analysis.windows import MetricWindow
from coalmine.spec.metric_rules import COUNTS_REQUESTS
from coalmine.spec.metrics import Metric


def traffic_order(metric: Metric) -> tuple[int, bool, str]:
    """Sorts metrics by how well their totals count requests; by name where that is the same, not by place.

    Ratios first: a histogram may leave some out, an objective may be of a part of them. Kinds that count none are last.
    """
    order = COUNTS_REQUESTS.index(metric.kind) if metric.kind in COUNTS_REQUESTS else len(COUNTS_REQUESTS)
    return order, metric.role != "guardrail", metric.name


def best_counted(windows: Iterable[MetricWindow]) -> MetricWindow | None:
    """That whose requests count best; None where none counts any."""
    counting = [window for window in windows if window.metric.kind in COUNTS_REQUESTS]
    return min(counting, key=lambda window: traffic_order(window.metric), default=None)


def canary_requests(windows: Iterable[MetricWindow]) -> int:
    """Of the window that counts best of those that are there; 0 where none does."""
    best = best_counted(window for window in windows if not window.missing)
    return best.canary.total if best is not None else 0
