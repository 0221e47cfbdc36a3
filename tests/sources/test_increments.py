"""Increments from raw samples: exact, and the windows of any tiling add up to the whole."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.sources.increments import NotACount, Sample, increments, whole


def one(samples: list[Sample], start: int, end: int, *, base: str | None = None, from_zero: bool = False) -> int:
    before = None if base is None else {"": base}
    return increments({"": samples}, start, end, base=before, from_zero=from_zero)[""]


COUNTER: list[Sample] = [(1000, "10"), (2000, "12"), (3000, "12"), (4000, "20")]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (1000, 4000, 10),
        (1000, 3999, 2),
        (1500, 2500, 2),
        (2000, 3000, 0),
        (3999, 4000, 8),
        (4000, 9000, 0),
        (2100, 2900, 0),
    ],
)
def test_an_increment_is_the_last_at_or_before_the_end_minus_the_last_at_or_before_the_start(
    start: int, end: int, expected: int
) -> None:
    assert one(COUNTER, start, end) == expected


def test_a_reset_adds_what_the_counter_shows_since() -> None:
    samples = [(1, "100"), (2, "130"), (3, "7"), (4, "9"), (5, "2")]
    assert one(samples, 1, 5) == 30 + 7 + 2 + 2


def test_a_reset_hidden_between_the_ends_is_found() -> None:
    assert one([(1, "100"), (2, "0"), (3, "150")], 1, 3) == 150


def test_a_restart_seen_in_one_bucket_is_a_restart_of_all() -> None:
    # The small bucket has caught up with its old value, so that alone it would show an increment of one.
    columns = {0.1: [(1, "5"), (2, "6")], 0.25: [(1, "90"), (2, "20")]}
    assert increments(columns, 1, 2) == {0.1: 6, 0.25: 20}


def test_a_series_born_inside_counts_from_zero_only_when_that_is_known() -> None:
    assert one([(5, "40"), (6, "43")], 1, 9, from_zero=True) == 43
    assert one([(5, "40"), (6, "43")], 1, 9) == 3


def test_a_value_from_long_ago_is_where_a_returning_series_goes_on() -> None:
    assert one([(5, "40"), (6, "43")], 1, 9, base="30") == 13
    assert one([(5, "40"), (6, "43")], 1, 9, base="50") == 43


def test_no_columns_count_nothing() -> None:
    assert increments({}, 1, 2) == {}


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("17", 17), ("1e3", 1000), ("9007199254740992", 2**53)])
def test_whole_counts_are_read(text: str, value: int) -> None:
    assert whole(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "NaN"),
        ("+Inf", "not a whole number"),
        ("0.5", "not a whole number"),
        ("-1", "negative"),
        ("9007199254740993", "2\\^53"),
    ],
)
def test_what_is_no_count_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NotACount, match=reason):
        whole(text)


@st.composite
def counters(draw: st.DrawFn) -> tuple[list[list[Sample]], int]:
    """Several counters of one process, scraped at uneven moments, which restart together; and how much they counted."""
    width = draw(st.integers(1, 3))
    moments = sorted(draw(st.sets(st.integers(1, 300), min_size=1, max_size=30)))
    values = [0] * width
    columns: list[list[Sample]] = [[] for _ in range(width)]
    counted = 0
    for index, moment in enumerate(moments):
        if index and draw(st.integers(0, 9)) == 0:
            values = [0] * width
        gains = draw(st.lists(st.integers(0, 50), min_size=width, max_size=width))
        # A restart shows only where the counter is lower than before; the sum is of what shows.
        values = [value + gain for value, gain in zip(values, gains, strict=True)]
        for column, value in zip(columns, values, strict=True):
            column.append((moment, str(value)))
        counted += sum(gains)
    return columns, counted


@settings(max_examples=200)
@given(counters(), st.lists(st.integers(0, 310), max_size=8), st.booleans())
def test_windows_that_tile_add_up_to_the_whole(
    drawn: tuple[list[list[Sample]], int], cuts: list[int], from_zero: bool
) -> None:
    columns = dict(enumerate(drawn[0]))
    edges = sorted({0, *cuts, 310})
    whole_window = increments(columns, 0, 310, from_zero=from_zero)
    parts = [increments(columns, start, end, from_zero=from_zero) for start, end in pairwise(edges)]
    assert {key: sum(part[key] for part in parts) for key in columns} == whole_window


@settings(max_examples=100)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.data())
def test_without_a_restart_every_event_is_counted_once(gains: list[int], data: st.DataObject) -> None:
    value, samples = 0, []
    for index, gain in enumerate(gains):
        value += gain
        samples.append((index * 10 + data.draw(st.integers(0, 9)), str(value)))
    assert one(samples, -1, len(gains) * 10, from_zero=True) == sum(gains)
