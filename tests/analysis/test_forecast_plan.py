"""What a plan is asked about: sizes of regressions, what is allowed, steps that are too short for a gauge."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from coalmine.analysis.forecast.course import Stretch
from coalmine.analysis.forecast.evidence import Traffic
from coalmine.analysis.forecast.noise import Noise
from coalmine.analysis.forecast.outlook import GaugeLevel, Level, Outlook
from coalmine.analysis.forecast.processes import Rule, latency_harm
from coalmine.analysis.forecast.report import Forecaster
from coalmine.records import ChannelHistory, ServiceHistory
from coalmine.spec.metrics import Metric
from coalmine.spec.steps import Step
from tests.analysis.looks import errors, judge


def of_gauge(sizes: list[float], minutes: int = 30, **options: str | float) -> Forecaster:
    cpu = Metric.model_validate({"name": "cpu", "kind": "value", "margin": 1.2} | options)
    outlook = Outlook(judge(cpu), 100.0, {}, {"cpu": GaugeLevel(0.5, 0.1)})
    return Forecaster(outlook, [Step.model_validate({"weight": 10, "for": timedelta(minutes=minutes)})], {}, sizes)


@pytest.mark.parametrize(
    ("direction", "asked", "told"),
    [
        ("up", [1.5, 4.0], [1.4, 1.5, 4.0]),
        ("down", [1.5, 4.0], [1.4, 1.5, 2.0]),
        ("down", [1.0, 1.5], [1.4, 1.5]),
    ],
)
def test_a_gauge_falls_to_half_at_most(direction: str, asked: list[float], told: list[float]) -> None:
    plan = of_gauge(asked, direction=direction)
    assert plan.sizes(plan.metrics[0]) == told


def test_what_a_count_may_rise_by_is_the_margin_or_the_tolerance_whichever_is_more() -> None:
    def allowed(tolerance: float, per_hour: float) -> float:
        orders = Metric(name="orders", kind="count", margin=1.2, tolerance=tolerance)
        return Outlook(judge(orders), 100.0, {"orders": Level.of_count(per_hour)}).allowed(orders)

    assert allowed(0.0, 4.0) == pytest.approx(0.2)
    assert allowed(10.0, 4.0) == pytest.approx(1.5)
    assert allowed(10.0, 9.0) == pytest.approx(0.2)


def test_a_step_too_short_for_a_gauge_is_told_with_what_it_needs() -> None:
    said = (
        "step 1, 10 % for 9m, decides nothing by cpu: it is over after 9m, and a gauge needs 10 blocks of 1m",
        "step 1, 10 % for 10m, decides nothing by cpu: it is over after 10m, and a gauge needs 10 blocks of 1m",
    )
    assert said[0] in of_gauge([3.0], minutes=9).forecast().warnings
    assert said[1] not in of_gauge([3.0], minutes=10).forecast().warnings


def test_a_metric_that_the_history_does_not_know_is_foretold_as_new() -> None:
    known = ServiceHistory(looks=120, channels={"latency": {"normal": ChannelHistory(tau2=0.0)}})

    def looks(history: ServiceHistory | None) -> int | None:
        outlook = Outlook(judge(errors(), history=history), 200.0, {"errors": Level.of_ratio(0.01)})
        return outlook.harm(outlook.judge.metrics[0], 3.0, outlook.course([Stretch(60, 0.1)])).looks(0.5)

    assert looks(known) == looks(None)


def test_scores_are_about_the_mean_of_each_window() -> None:
    """Those of the judge are of ranks among what was seen so far; a window's own requests need not be its average."""
    canary = np.array([[90.0, 8.0, 2.0], [60.0, 30.0, 10.0], [99.0, 1.0, 0.0]])
    traffic = Traffic(canary, 10.0 * canary)
    _, scores = latency_harm(traffic, [], (Noise(), Noise()), Rule(1.0, 0.0, 1.3), 6)
    for one in scores:
        assert one.on.shape == (3, 3)
        assert (one.on * traffic.pooled).sum(axis=-1) == pytest.approx(0.0, abs=1e-9)
