"""Effects on paper: ratios by their logarithm, differences as they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from coalmine.report.axes import DifferenceAxis, RatioAxis, axis_of
from coalmine.report.plots import Scale, effect_plot
from coalmine.report.story import Point
from coalmine.report.words import effect, interval

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def points(*effects: tuple[float, float, float], margin: float | None = None) -> list[Point]:
    return [
        Point(look=at + 1, at=BEGIN + at * timedelta(minutes=1), verdict="inconclusive", effect=effect, low=low,
              high=high, margin=margin)
        for at, (effect, low, high) in enumerate(effects)
    ]  # fmt: skip


def test_a_gauge_has_a_linear_axis_around_zero() -> None:
    axis = axis_of(points((-3.0, -5.0, -1.0), (-2.0, -4.0, 0.5), margin=-1.0), "value")
    assert isinstance(axis, DifferenceAxis)
    assert axis.reach == pytest.approx(5.5)
    assert [axis.share(value) for value in (-5.5, 0.0, 5.5)] == [0.0, 0.5, 1.0]
    assert axis.ticks() == [-4.0, -2.0, 0.0, 2.0, 4.0]
    assert axis.draws(-1.0)


@pytest.mark.parametrize("reach", [1e-9, 0.3, 1.0, 7.0, 1e12])
def test_differences_have_round_ticks_within_the_axis(reach: float) -> None:
    ticks = DifferenceAxis(reach, "value").ticks()
    assert len(ticks) >= 3
    assert 0.0 in ticks
    assert max(map(abs, ticks)) <= reach


def test_others_have_the_logarithmic_one() -> None:
    for kind in ("ratio", "latency", "count", "slo"):
        axis = axis_of(points((2.0, 1.5, 4.0), margin=1.1), kind)
        assert isinstance(axis, RatioAxis)
        assert axis.share(1.0) == 0.5
        assert not axis.draws(0.0)


def test_a_gauge_that_never_moved_can_be_drawn() -> None:
    drawn = effect_plot("m", "value", "m", points((0.0, 0.0, 0.0), margin=0.0), [], Scale(BEGIN, BEGIN, 200.0))
    assert "nan" not in drawn
    assert "effect +0, between +0 and +0, margin +0" in drawn


def test_effects_are_written_in_their_measure() -> None:
    assert effect(0.123456, "value") == "+0.1235"
    assert effect(None, "value") == "–"
    assert effect(1.25, "count") == "×1.25"
    assert interval(-1.0, None, "value") == "-1 … open"
