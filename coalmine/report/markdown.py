"""The report as Markdown, for pull requests, tickets and chats: the same facts, without plots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from coalmine.markdown import cell, escaped
from coalmine.records import Diagnosis
from coalmine.report import facts, words
from coalmine.report.story import MetricStory, Story
from coalmine.report.thinning import evenly

ROWS = 12
DECISIONS = 60
_TEXT = 500
_ADDRESS = re.compile(r"https?://[^\s<>]+")


def as_markdown(story: Story) -> str:
    """The whole page."""
    parts = [
        f"# {_text(facts.change(story))}: {_text(facts.ending(story))}",
        f"**Verdict:** {_text(story.sentence)}",
        _list(facts.about(story)),
        *(f"> Note: {_text(note)}" for note in story.notes),
        "## Diagnosis",
        *([_diagnosis(one) for one in reversed(story.diagnoses)] or ["None was made."]),
        "## Metrics",
        f"> {facts.SINGLE_LOOK_LACKS}{_text(story.single_look_note)}" if story.single_look_note else "",
        *(_metric(story, metric) for metric in story.metrics),
        "## Traffic",
        _table(
            ["at (UTC)", "canary", "what"], ([words.moment(w.at), f"{w.weight:g} %", w.what] for w in story.weights)
        ),
        "## Decisions",
        _decisions(story),
        "## Admission checks",
        _table(["check", "result", "why"], ([c.name, "pass" if c.ok else "fail", c.reason] for c in story.checks)),
        "## What was judged, and how",
        _list(facts.judged(story)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metric(story: Story, metric: MetricStory) -> str:
    role = "" if metric.role == "guardrail" else " (signal)"
    said = f"### {_text(metric.name)}{role}\n\nVerdict: **{words.plain(metric.verdict)}** {_text(metric.sentence)}"
    if not metric.points:
        return f"### {_text(metric.name)}{role}\n\nThe ledger holds no look at this metric."
    listed = evenly(metric.points, ROWS)
    rows = (
        [
            str(point.look),
            words.plain(point.verdict),
            words.effect(point.effect, metric.kind),
            words.interval(point.low, point.high, metric.kind),
            words.effect(point.margin, metric.kind),
            words.level(point.baseline, metric.kind),
            words.level(point.canary, metric.kind),
        ]
        for point in listed.points
    )
    shown = "" if listed.all_shown else f"\n\n{len(listed.points)} of {listed.total:,} looks are shown."
    once = ""
    if metric.single_looks:
        caption = _text(facts.single_look_caption(story, metric))
        once = f"\n\n{caption}:\n\n{_table(facts.SINGLE_LOOK, facts.single_look_rows(metric))}"
    head = ["look", "verdict", "effect", "interval", "margin", "baseline", "canary"]
    return f"{said}\n\n{_table(head, rows)}{shown}{once}"


def _decisions(story: Story) -> str:
    every = facts.decisions(story)
    first, last = every[: DECISIONS // 2], every[DECISIONS // 2 :][-DECISIONS // 2 :]
    rows = [[words.moment(one.at), words.plain(one.kind), one.by, one.reason] for one in (*first, *last)]
    left_out = len(every) - len(rows)
    note = f"\n\n{left_out:,} of {len(every):,} in the middle are left out." if left_out else ""
    return _table(["at (UTC)", "what", "by", "why"], rows) + note


def _diagnosis(one: Diagnosis) -> str:
    parts = [f"**{_text(one.sentence)}**", _text(one.reason)]
    for ranking in one.rankings:
        rows = [
            [
                value.value or "(none)",
                words.percent(value.share),
                words.percent(value.traffic),
                *facts.arms_of(ranking, value),
                words.chance(value.adjusted),
            ]
            for value in ranking.values
        ]
        head = [ranking.label, "share of the excess", "share of traffic", "canary", "baseline", "p (Holm)"]
        beyond = facts.significant(ranking)
        label = f"{_text(ranking.label)}{', ' * bool(beyond)}{_text(beyond)}"
        parts.append(f"{_text(ranking.metric)} by {label}:\n\n{_table(head, rows)}")
    parts += [_links((f"trace {found.trace_id}", found.link or words.moment(found.at)) for found in one.exemplars)]
    parts += [_links((found.name, found.url) for found in one.links)]
    parts += [_list((f"{words.moment(found.at)} {found.rollout_id}", found.what) for found in one.changes)]
    parts += [f"> {_text(note)}" for note in one.notes]
    return "\n\n".join(part for part in parts if part)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(head), "|" + "---|" * len(head), *(_row(row) for row in rows)]
    return "\n".join(lines) if len(lines) > 2 else "none"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_text(one) for one in cells) + " |"


def _list(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {_text(name)}: {_text(value)}" for name, value in pairs if value)


def _links(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {_text(name)}: {_address(url)}" for name, url in pairs if url)


def _address(url: str) -> str:
    """A link that leads where it did: never cut, for a search in a log store easily has 500 characters and more."""
    return url.replace("|", "%7C") if _ADDRESS.fullmatch(url) else _text(url)


def _text(text: str) -> str:
    """Text of people on one line that cannot become markup."""
    flat = cell(" ".join(text.split()), _TEXT)
    return flat if re.fullmatch(r"https?://[^\s<>|]+", flat) else escaped(flat)
