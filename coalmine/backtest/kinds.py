"""The columns of all kinds of metrics: the one place where a kind is added."""

from __future__ import annotations

from coalmine.backtest.columns import Column, LatencyColumn, RatioColumn
from coalmine.backtest.windowed import CountColumn, SloColumn, ThresholdColumn, ValueColumn
from coalmine.spec.metrics import Metric

COLUMNS: dict[str, type[Column]] = {
    "ratio": RatioColumn,
    "latency": LatencyColumn,
    "value": ValueColumn,
    "count": CountColumn,
    "slo": SloColumn,
    "threshold": ThresholdColumn,
}


def column_of(metric: Metric) -> Column:
    """An empty column for a metric."""
    return COLUMNS[metric.kind](metric)
