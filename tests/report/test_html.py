"""The page: its structure, that nothing on it can run or load, and that it stays small."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.report import as_html, tell
from tests.report.page_reader import Page
from tests.report.stories import NASTY, Book, rolled_back, verdict

ALLOWED = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "section",
        "p",
        "strong",
        "span",
        "code",
        "a",
    ),
    *(
        "h1",
        "h2",
        "h3",
        "h4",
        "dl",
        "dt",
        "dd",
        "ul",
        "li",
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    ),
    *("figure", "figcaption", "svg", "desc", "g", "path", "polygon", "polyline", "circle", "text"),
}


def assert_sound(page: Page) -> None:
    """What is true of every page: known elements only, nothing loaded, ids unique, references good, all named."""
    nodes = page.nodes()
    assert {node.tag for node in nodes} <= ALLOWED
    for node in nodes:
        assert not [name for name in node.attributes if name.startswith("on") or name in ("src", "style", "srcset")]
        if "href" in node.attributes:
            assert node.tag == "a"
            assert node.attributes["href"].startswith(("http://", "https://"))
    ids = Counter(node.attributes["id"] for node in nodes if "id" in node.attributes)
    assert not [name for name, count in ids.items() if count > 1]
    named = [name for node in nodes for name in node.attributes.get("aria-labelledby", "").split()]
    assert set(named) <= set(ids)
    levels = [int(line[1]) for line in page.outline()]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), page.outline()
    for picture in page.root.all("svg"):
        assert picture.attributes["role"] == "img"
        assert [child.tag for child in picture.children[:2]] == ["title", "desc"]
        assert all(child.words().strip() for child in picture.children[:2])
    for table in page.root.all("table"):
        assert table.children[0].tag == "caption"
        assert table.children[0].words().strip()
        assert all(head.attributes.get("scope") in ("col", "row") for head in table.all("th"))
        widths = {len([cell for cell in row.children if cell.tag in ("th", "td")]) for row in table.all("tr")}
        assert len(widths) == 1
    assert all(node.attributes.get("tabindex") == "0" for node in nodes if node.attributes.get("class") == "scroll")


def test_the_page_of_a_rollback() -> None:
    page = Page(as_html(tell(rolled_back())))
    assert_sound(page)
    assert page.outline() == [
        "h1 checkout 1.0.0 → 1.1.0 in test: rolled back",
        "h2 Diagnosis",
        "h3 Rolled back at 2026-03-01 12:00:00 UTC",
        "h4 Exemplar traces of the canary",
        "h4 Where to look further",
        "h4 What else changed",
        "h4 What could not be had",
        "h2 Metrics",
        "h3 errors",
        "h3 latency",
        "h2 Traffic",
        "h2 Decisions",
        "h2 Admission checks",
        "h2 What was judged, and how",
        "h2 How to read this page",
    ]
    assert page.root.all("html")[0].attributes["lang"] == "en"
    captions = [table.words() for table in page.root.all("caption")]
    assert captions[:3] == [
        "errors by route; one stands out", "Requests that were remembered", "Other rollouts in this environment",
    ]  # fmt: skip
    assert captions[3:6] == ["errors: all 30 looks", "latency: all 30 looks", "Shifts that every proxy showed"]
    verdict_line = next(node for node in page.nodes() if "verdict" in node.attributes.get("class", ""))
    assert verdict_line.words() == (
        "Verdict: checkout 1.0.0 → 1.1.0 was rolled back after 30 looks and 3,000 canary requests: it is worse."
    )
    assert len(page.root.all("svg")) == 3
    descriptions = [node.words() for node in page.root.all("desc")]
    assert descriptions[0] == "At the last compared look, look 30: effect ×3.95, between ×2.49 and ×6.28, margin ×1.10."
    # Look 3, 13 and 23 did not know the effect of latency: its line has gaps there and is never drawn through.
    assert len(page.root.all("svg")[1].all("polyline")) == 4
    judged = page.root.all("section")[5].words()
    assert re.search(r"sha256 [0-9a-f]{12} \([0-9a-f]{64}\)", judged)
    assert "alpha 0.01" in judged


def test_the_style_knows_dark_light_and_print() -> None:
    style = Page(as_html(tell(rolled_back()))).root.all("style")[0].words()
    assert "prefers-color-scheme:dark" in style
    assert "@media print" in style
    assert "url(" not in style
    assert "@import" not in style


def test_nothing_people_write_becomes_markup() -> None:
    text = as_html(tell(rolled_back(text=NASTY)))
    assert_sound(Page(text))
    assert "<script" not in text
    assert "<img" not in text
    assert 'href="javascript' not in text


def test_the_names_of_metrics_and_services_do_not_become_markup() -> None:
    book = Book("test/che<script>ckout/1.1.0/7")
    book.look(1, [verdict(NASTY, 2.0), verdict("<b>", 2.0)])
    book.look(2, [verdict(NASTY, 2.5), verdict("<b>", 2.0)], "hold")
    book.close("rolled_back", NASTY, NASTY)
    text = as_html(tell(book.entries))
    assert_sound(Page(text))
    assert "<script" not in text


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\r", "\x9b", "\u202e", "\u2066"])
def test_no_character_of_what_people_write_is_obeyed(char: str) -> None:
    text = as_html(tell(rolled_back(text=f"before{char}after")))
    assert char not in text
    assert f"before{ascii(char)[1:-1]}after" in text


@given(st.text(max_size=60))
@settings(max_examples=40, deadline=None)
def test_any_text_leaves_the_page_sound(text: str) -> None:
    assert_sound(Page(as_html(tell(rolled_back(4, text=text)))))


@pytest.mark.parametrize("looks", [1, 2, 150, 401])
def test_any_number_of_looks(looks: int) -> None:
    assert_sound(Page(as_html(tell(rolled_back(looks)))))


def test_5000_looks_stay_under_2_mb_and_say_that_they_are_thinned() -> None:
    text = as_html(tell(rolled_back(5_000)))
    assert len(text.encode()) < 2_000_000
    page = Page(text)
    assert_sound(page)
    captions = [node.words() for node in page.root.all("figcaption")]
    drawn = re.search(r"Thinned: (\d+) of 5,000 looks are drawn", captions[0])
    assert drawn is not None
    line = page.root.all("svg")[0].all("polyline")[0].attributes["points"]
    assert len(line.split()) == int(drawn[1])
    assert page.root.all("caption")[3].words() == "errors: 150 of 5,000 looks"


def test_50_metrics_over_5000_looks_stay_under_2_mb() -> None:
    book = Book()
    book.admit()
    names = [f"a metric with quite a long name, number {number}" for number in range(50)]
    for look in range(1, 5_001):
        # Entries as they are, not through JSON: this is about the page.
        point = [
            {"metric": name, "verdict": "pass", "effect": 1.0 + look % 7, "low": 0.5, "high": 9.0} for name in names
        ]
        entry = book.entries[0].model_copy(
            update={"kind": "look", "sequence": look + 1, "at": book.at, "data": {"look": look, "effects": point}}
        )
        book.entries.append(entry)
        book.at += book._every
    assert len(as_html(tell(book.entries)).encode()) < 2_000_000


def test_an_open_rollout_says_what_may_be_missing() -> None:
    book = Book()
    book.admit()
    book.shift(10)
    book.look(1, [verdict()])
    text = Page(as_html(tell(book.entries))).root.words()
    assert "is not over: stepping at 10 % after 1 looks" in text
    assert "the newest may be missing" in text


def test_a_rollout_that_was_blocked() -> None:
    book = Book()
    book.add("closed", "ban: 1.1.0 was banned by ana", outcome="blocked", version="1.1.0", baseline="1.0.0")
    page = Page(as_html(tell(book.entries)))
    assert_sound(page)
    assert page.outline()[0] == "h1 checkout 1.0.0 → 1.1.0 in test: blocked"
    assert "No metric was looked at." in page.root.words()


def test_of_one_that_was_reset_too_late_it_tells_how_it_had_ended() -> None:
    book = Book()
    book.admit()
    book.shift(100)
    book.close("promoted", "no limit was violated")
    book.close("blocked", "a reset goes back to a time that is over")
    told = tell(book.entries)
    assert (told.outcome, told.reason) == ("promoted", "no limit was violated")
