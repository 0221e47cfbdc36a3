"""Effects as people read them, in the measure of their metric."""

from __future__ import annotations

from typing import Any

import pytest

from coalmine.analysis.grids import CURVE_RATIOS
from coalmine.effects import LARGEST_RATIO, LEAST_RATIO, effect_text, interval_text, leans_to_harm, margin_text
from coalmine.records import MetricVerdict


def verdict(**fields: Any) -> MetricVerdict:
    return MetricVerdict(**{"metric": "m", "verdict": "inconclusive", "interval": (1.2, 1.5), "margin": 1.1, **fields})


@pytest.mark.parametrize(
    ("value", "measure", "shown"),
    [
        (1.234, "odds ratio", "×1.23"),
        (9.0, "rate ratio", "×9.00"),
        (20.0, "burn rate", "×20.00"),
        (0.5, "difference", "+0.5"),
        (-12345678.0, "difference", "-1.235e+07"),
    ],
)
def test_effects(value: float, measure: Any, shown: str) -> None:
    assert effect_text(value, measure) == shown


def test_intervals_and_margins() -> None:
    assert interval_text(verdict()) == "×1.20 … ×1.50"
    assert interval_text(verdict(measure="difference", interval=(-1.0, 2.0)), ", ") == "-1, +2"
    assert interval_text(verdict(interval=None)) == ""
    assert margin_text(verdict()) == "×1.1"
    assert margin_text(verdict(margin=0.25, measure="difference")) == "+0.25"
    assert margin_text(verdict(margin=0.0, measure="difference")) == "+0"
    assert margin_text(verdict(margin=None)) == ""


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"interval": (0.0333, 400.0)}, "open … open"),
        ({"interval": (0.0334, 399.9)}, "×0.03 … ×399.90"),
        ({"interval": (0.0333, 400.0), "measure": "rate ratio"}, "open … open"),
        ({"interval": (0.0025, 30.0), "measure": "rate ratio", "worse": "down"}, "open … open"),
        ({"interval": (0.0333, 400.0), "measure": "rate ratio", "worse": "down"}, "×0.03 … open"),
        ({"interval": (0.0, 400.0), "measure": "burn rate"}, "×0.00 … ×400.00"),
        ({"interval": (-1.0, 400.0), "measure": "difference"}, "-1 … +400"),
    ],
)
def test_an_end_that_an_interval_does_not_have_is_open(fields: dict[str, Any], said: str) -> None:
    assert interval_text(verdict(**fields)) == said


def test_ends_are_where_the_judge_looks_no_further() -> None:
    assert pytest.approx(CURVE_RATIOS[0]) == LEAST_RATIO
    assert pytest.approx(CURVE_RATIOS[-1]) == LARGEST_RATIO


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "at least x1.20, margin x1.1"),
        ({"interval": (1.05, 1.5)}, ""),
        ({"interval": None}, ""),
        ({"margin": None}, ""),
        (
            {"measure": "difference", "interval": (-3.0, -0.2), "margin": -0.1, "worse": "down"},
            "at most -0.2, margin -0.1",
        ),
        ({"measure": "difference", "interval": (-3.0, -0.05), "margin": -0.1, "worse": "down"}, ""),
        (
            {"measure": "rate ratio", "interval": (0.2, 0.5), "margin": 0.83, "worse": "down"},
            "at most x0.50, margin x0.83",
        ),
    ],
)
def test_what_leans_to_harm(fields: dict[str, Any], said: str) -> None:
    assert leans_to_harm(verdict(**fields)) == said
