"""Thinning keeps what stands out."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.report.story import Point
from coalmine.report.thinning import evenly, thin
from tests.report.stories import NOON


def points(effects: list[float | None]) -> list[Point]:
    return [
        Point(
            look=number,
            at=NOON + timedelta(seconds=number),
            verdict="inconclusive",
            effect=effect,
            low=None if effect is None else effect / 2,
            high=None if effect is None else effect * 2,
        )
        for number, effect in enumerate(effects, 1)
    ]


@given(
    st.lists(st.none() | st.floats(0.01, 100), min_size=1, max_size=400),
    st.integers(18, 120),
    st.sets(st.integers(1, 400), max_size=5),
)
@settings(max_examples=80, deadline=None)
def test_peaks_ends_and_decisions_stay(effects: list[float | None], most: int, keep: set[int]) -> None:
    given_points = points(effects)
    thinned = thin(given_points, most, keep)
    assert thinned.total == len(given_points)
    assert len(thinned.points) <= most + 5
    looks = [point.look for point in thinned.points]
    assert looks == sorted(set(looks))
    assert looks[0] == 1
    assert looks[-1] == len(given_points)
    assert {look for look in keep if look <= len(given_points)} <= set(looks)
    known = [effect for effect in effects if effect is not None]
    if known:
        shown = [point.effect for point in thinned.points if point.effect is not None]
        assert max(shown) == max(known)
        assert min(shown) == min(known)


def test_few_points_are_all_shown() -> None:
    few = points([1.0] * 18)
    assert thin(few, 18).points == few
    assert thin(few, 18).all_shown


def test_a_table_has_the_first_and_the_last() -> None:
    shown = evenly(points([1.0] * 1_000), 7)
    assert [point.look for point in shown.points] == [1, 167, 334, 501, 667, 833, 1_000]
    assert not shown.all_shown
