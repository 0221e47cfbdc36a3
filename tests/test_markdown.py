"""Tables as the Temporal UI needs them."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from coalmine.markdown import GAP, cell, table, url_length


def test_columns_are_kept_apart_and_numbers_are_aligned_to_the_right() -> None:
    assert table(("name", "count:"), [("a", 1), ("b", "22")]).splitlines() == [
        f"| name{GAP} | count |",
        "|:---|---:|",
        f"| a{GAP} | 1 |",
        f"| b{GAP} | 22 |",
    ]


def test_text_of_people_stays_in_its_cell() -> None:
    assert cell("a | b\nc", 20) == "a / b c"
    assert cell("abcdef", 4) == "abc…"


@given(st.text())
def test_the_length_in_a_url_is_that_of_the_quoted_text(text: str) -> None:
    assert url_length(text) == len(quote(text, safe=""))
