"""Metrics that are judged alike are folded together, and nobody can tell from what is said of each."""

from __future__ import annotations

import numpy as np
import pytest

from coalmine.analysis.comparison import Comparison, ComparisonState
from coalmine.analysis.metrics import HistogramCounts, LatencyState, RatioCounts
from coalmine.analysis.panels import Panels
from coalmine.analysis.prepared import comparison_of
from coalmine.analysis.trees import leaves, take
from coalmine.records import Judge, MetricVerdict
from coalmine.spec.canary import Metric
from tests.analysis.looks import BOUNDS, draw_latency, errors, fold, histogram, judge, latency, ratio


def called(name: str, metric: Metric) -> Metric:
    return metric.model_copy(update={"name": name})


MANY = [
    called("a", errors()),
    called("b", latency()),
    called("c", errors()),
    called("d", errors(margin=1.4)),
    called("e", latency()),
    called("f", errors(role="signal")),
]


def members(state: ComparisonState) -> list[tuple[int, ...]]:
    return [panel.members for panel in state.panels]


def rows(seed: int, looks: int) -> list[list[object]]:
    rng = np.random.default_rng(seed)
    found: list[list[object]] = []
    for _ in range(looks):
        of_look: list[object] = []
        for metric in MANY:
            if metric.kind == "ratio":
                counted = (int(rng.binomial(200, 0.04)), 200, int(rng.binomial(1800, 0.02)), 1800)
                of_look.append(ratio(*counted).model_copy(update={"metric": metric.name}))
            else:
                canary, baseline = draw_latency(rng, 150, 1.0), draw_latency(rng, 1350, 1.0)
                of_look.append(histogram(canary, baseline, BOUNDS).model_copy(update={"metric": metric.name}))
        found.append(of_look)
    return found
