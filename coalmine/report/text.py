"""The report for a terminal: the verdict, a plot of each metric and of the traffic, diagnosis and decisions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from textwrap import wrap
from typing import Literal, NamedTuple

from coalmine.report import facts, words
from coalmine.report.story import MetricStory, Story
from coalmine.report.text_plots import LABEL, NARROWEST, UNICODE, Glyphs, Times, effect_lines, weight_lines

DECISIONS = 30
Style = Literal["", "head", "good", "bad", "warn", "dim"]
_VERDICTS: dict[str, Style] = {"pass": "good", "fail": "bad", "no_data": "warn", "inconclusive": "warn"}
_ASCII = str.maketrans({"→": "->", "×": "x", "…": "...", "–": "-", "−": "-", "┄": "-"})


class Line(NamedTuple):
    """One line, and how it is meant."""

    text: str
    style: Style = ""


def as_text(story: Story, width: int, glyphs: Glyphs = UNICODE) -> list[Line]:
    """The whole page.

    Args:
        story: Of one rollout.
        width: Columns of the terminal; below ``NARROWEST`` plots are cut off, not squeezed.
        glyphs: What plots are drawn with; ``ASCII`` also writes words in it, as far as they are ours.
    """
    lines = [Line(_shown(line.text), line.style) for line in _page(story, max(width, NARROWEST), glyphs)]
    if glyphs is UNICODE:
        return lines
    return [Line(line.text.translate(_ASCII), line.style) for line in lines]


def _shown(text: str) -> str:
    """Nothing in it that a terminal would obey."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _page(story: Story, width: int, glyphs: Glyphs) -> Iterator[Line]:
    ended = story.outcome or ""
    style: Style = "good" if ended == "promoted" else "bad" if ended else "warn"
    yield Line(f"{facts.change(story)}: {facts.ending(story)}", style)
    yield from _wrapped(story.sentence, width)
    yield Line("")
    about = [(name, fact) for name, fact in facts.about(story) if fact]
    yield from (Line(f"{name:<22}  {fact}") for name, fact in about)
    for note in story.notes:
        yield from _wrapped(f"Note: {note}", width, "warn")
    # The last column is the last moment; a rollout without length has one.
    last = max(story.ended or story.last, story.began + timedelta(seconds=1))
    times = Times(story.began, last, width - LABEL - 2)
    for metric in story.metrics:
        yield Line("")
        yield from _metric(story, metric, times, width, glyphs)
    if story.weights:
        yield Line("")
        yield Line("traffic of the canary", "head")
        yield from (Line(line) for line in weight_lines(story.weights, times, glyphs))
    for diagnosis in story.diagnoses[-1:]:
        yield Line("")
        yield Line("diagnosis", "head")
        yield from _wrapped(diagnosis.sentence, width)
        yield from (Line(f"  {link.name}: {link.url}") for link in diagnosis.links)
    yield Line("")
    yield Line("decisions", "head")
    left_out = len(story.decisions) - DECISIONS
    if left_out > 0:
        yield Line(f"  {left_out:,} earlier ones: -o md lists more, coalmine decisions all", "dim")
    for one in story.decisions[-DECISIONS:]:
        by = f" by {one.by}" if one.by else ""
        said = " ".join(f"{words.plain(one.kind)}{by}: {one.reason}".split()).rstrip(": ")
        yield from _wrapped(f"{one.at:%H:%M:%S}  {said}", width, indent=10)


def _metric(story: Story, metric: MetricStory, times: Times, width: int, glyphs: Glyphs) -> Iterator[Line]:
    role = "" if metric.role == "guardrail" else " (signal)"
    yield Line(
        f"{metric.name}{role}: {words.plain(metric.verdict) or 'never judged'}", _VERDICTS.get(metric.verdict, "")
    )
    if not metric.points:
        yield Line("  The ledger holds no look at this metric.", "dim")
        return
    if metric.sentence:
        yield from _wrapped(metric.sentence, width, indent=2)
    latest = metric.points[-1]
    yield Line(
        f"  canary against baseline {words.effect(latest.effect, metric.kind)}, interval "
        f"{words.interval(latest.low, latest.high, metric.kind)}, margin {words.effect(latest.margin, metric.kind)}"
    )
    yield Line(
        f"  {glyphs.effect} effect  {glyphs.band} interval  {glyphs.margin * 2} margin  {glyphs.same * 2} no difference"
        + "".join(f"  {mark} {words.plain(action)}" for action, mark in glyphs.marks.items()),
        "dim",
    )
    yield from (Line(line) for line in effect_lines(metric.kind, metric.points, story.looks, times, glyphs))


def _wrapped(text: str, width: int, style: Style = "", indent: int = 0) -> Iterator[Line]:
    """Within the width; a moment at the beginning stands left of the indent."""
    hanging = text[:2].isdigit() and indent > 0
    for line in wrap(text, width, initial_indent="" if hanging else " " * indent, subsequent_indent=" " * indent):
        yield Line(line, style)
