"""The report for a terminal: what its plots show, how wide it is, and what it is where there is only ASCII."""

from __future__ import annotations

import pytest

from coalmine.report import tell
from coalmine.report.text import Line, as_text
from coalmine.report.text_plots import ASCII, LABEL, ROWS, UNICODE, Glyphs
from tests.report.stories import Book, rolled_back


def _plot(lines: list[Line], title: str, rows: int) -> list[str]:
    """The rows of the plot below a title, without their labels and without the axis of time."""
    begin = next(at for at, line in enumerate(lines) if line.text.startswith(title))
    axis = next(at for at in range(begin, len(lines)) if lines[at].text.strip().startswith("12:00:00"))
    return [line.text[LABEL + 2 :] for line in lines[axis - rows : axis]]


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_a_plot_shows_effect_interval_and_margin(glyphs: Glyphs) -> None:
    lines = as_text(tell(rolled_back(30)), 100, glyphs)
    plot = _plot(lines, "errors: fail", ROWS)
    columns = [[row[at : at + 1] for row in plot] for at in range(max(map(len, plot)))]
    judged = [column for column in columns if glyphs.effect in column]
    assert len(judged) == 30
    # The effect rises, and in the end the whole interval is above the margin.
    assert judged[-1].index(glyphs.effect) < judged[0].index(glyphs.effect)
    margin = next(at for at, row in enumerate(plot) if glyphs.margin in row)
    assert max(at for at, cell in enumerate(judged[-1]) if cell == glyphs.band) < margin
    # At first the interval reaches over it.
    assert any(column[margin] == glyphs.crossing for column in judged)
    assert glyphs.marks["roll_back"] in "".join(line.text for line in lines)


@pytest.mark.parametrize("width", [20, 60, 80, 200])
@pytest.mark.parametrize("looks", [1, 30, 400])
def test_no_plot_is_wider_than_the_terminal(width: int, looks: int) -> None:
    lines = as_text(tell(rolled_back(looks)), width)
    assert max(len(row) for row in _plot(lines, "errors", ROWS)) + LABEL + 2 <= max(width, 40)


def test_traffic_is_drawn_as_stairs() -> None:
    book = Book()
    book.admit()
    for weight in (1.0, 50.0, 100.0):
        book.shift(weight)
    story = tell(book.entries)
    rows = _plot(as_text(story, 80), "traffic of the canary", 4)
    assert "█" in rows[0]
    assert len(rows[0].strip()) < len(rows[2].strip()) < len(rows[3].strip())
    assert "▁" in rows[3]


def test_ascii_is_ascii_and_what_a_terminal_obeys_is_not_sent() -> None:
    lines = as_text(tell(rolled_back(5, "boom \x1b[2J\x07 it is worse")), 100, ASCII)
    assert all(line.text.isascii() and line.text.isprintable() for line in lines)
    assert any("boom \\x1b[2J\\x07" in line.text for line in lines)


def test_the_verdicts_have_their_styles() -> None:
    lines = as_text(tell(rolled_back(30)), 100)
    assert lines[0].style == "bad"
    styles = {line.text: line.style for line in lines}
    assert (styles["errors: fail"], styles["latency: pass"]) == ("bad", "good")


def test_a_rollout_of_which_little_is_known_has_a_page() -> None:
    book = Book()
    book.admit()
    lines = as_text(tell(book.entries), 80)
    assert "open" in lines[0].text
    assert any("decisions" in line.text for line in lines)
