"""The report as one HTML page: no script, nothing loaded from anywhere, plots drawn inline beside their tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from coalmine.report import facts, words
from coalmine.report.html_diagnosis import diagnosis_section
from coalmine.report.markup import Markup, element, join, pairs, table
from coalmine.report.plots import Scale, effect_plot, weight_plot
from coalmine.report.story import DecisionStory, MetricStory, Point, Story
from coalmine.report.style import STYLE
from coalmine.report.thinning import Thinned, evenly, thin

POINTS, ROWS = 400, 150
"""Of one metric, in a plot and in its table, while there are few metrics."""
ALL_POINTS, ALL_ROWS = 8_000, 2_400
"""Of all metrics together: the page stays under 2 MB."""
DECISIONS = 300
_LEGEND = (
    "Line: the estimated effect (canary over baseline). Band: the interval that holds at every look at once. Dashed: "
    "the margin; a band wholly above it is harm, wholly below it is no harm. Dotted: no difference. "
    "▲ advanced, ★ promoted, ◆ held, ■ rolled back."
)
HEIGHT, LOW_HEIGHT = 260.0, 170.0
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def as_html(story: Story) -> str:
    """The whole page."""
    main = element(
        "main",
        _header(story),
        diagnosis_section(story),
        _metrics(story),
        _traffic(story),
        _decisions(story),
        _checks(story),
        _judged(story),
        _reading(),
    )
    head = element(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        element("title", f"{facts.change(story)}: {facts.ending(story)}"),
        element("style", Markup(STYLE)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', main), lang='en')}\n"


def _section(identity: str, heading: str, *children: str | None) -> Markup:
    return element(
        "section", element("h2", heading, id=f"{identity}-heading"), *children, aria_labelledby=f"{identity}-heading"
    )


def _header(story: Story) -> Markup:
    state = words.plain(story.outcome) if story.outcome else "open" if story.open else "advice"
    return element(
        "header",
        element("p", "Coalmine rollout report", class_="soft"),
        element("h1", f"{facts.change(story)}: {facts.ending(story)}"),
        element("p", element("strong", "Verdict: "), story.sentence, class_=f"verdict {state.replace(' ', '-')}"),
        pairs(facts.about(story)),
        *(element("p", element("strong", "Note: "), note) for note in story.notes),
    )


def _metrics(story: Story) -> Markup:
    if not story.metrics:
        return _section("metrics", "Metrics", element("p", "No metric was looked at."))
    scale = _scale(story, HEIGHT)
    legend = element("p", _LEGEND, class_="soft")
    lacking = element("p", facts.SINGLE_LOOK_LACKS + story.single_look_note) if story.single_look_note else None
    return _section(
        "metrics",
        "Metrics",
        legend,
        lacking,
        *(_metric(story, metric, at, scale) for at, metric in enumerate(story.metrics)),
    )


def _metric(story: Story, metric: MetricStory, at: int, scale: Scale) -> Markup:
    heading = element("h3", metric.name if metric.role == "guardrail" else f"{metric.name} (signal)")
    said = [
        heading,
        element("p", "Verdict: ", _badge(metric.verdict), f" {metric.sentence}") if metric.verdict else None,
    ]
    if not metric.points:
        return join([*said, element("p", "The ledger holds no look at this metric.", class_="soft")])
    many = len(story.metrics)
    decided = [look for look in story.looks if look.action != "continue"]
    drawn = thin(metric.points, max(60, min(POINTS, ALL_POINTS // many)), {look.look for look in decided})
    listed = evenly(drawn.points, max(16, min(ROWS, ALL_ROWS // many)))
    if any(point.effect is not None for point in metric.points):
        plot = Markup(effect_plot(metric.name, metric.kind, f"metric-{at}", drawn.points, decided[:200], scale))
        said.append(element("figure", plot, element("figcaption", _caption(drawn))))
    else:
        said.append(element("p", "The arms were never compared in this metric, so there is no effect to draw."))
    return join([*said, _point_table(metric, listed), _single_look_table(story, metric)])


def _caption(drawn: Thinned) -> str:
    if drawn.all_shown:
        return f"All {drawn.total:,} looks are drawn."
    return (
        f"Thinned: {len(drawn.points):,} of {drawn.total:,} looks are drawn, those with the largest and smallest "
        "effect and the widest ends of each stretch among them; -o json has all."
    )


def _point_table(metric: MetricStory, listed: Thinned) -> Markup:
    total = len(metric.points)
    shown = f"all {total:,} looks" if len(listed.points) == total else f"{len(listed.points):,} of {total:,} looks"
    return table(
        f"{metric.name}: {shown}",
        ["look:", "at (UTC)", "verdict", "effect:", "interval", "margin:", "baseline:", "canary:"],
        [_point_row(point, metric.kind) for point in listed.points],
    )


def _single_look_table(story: Story, metric: MetricStory) -> Markup | None:
    if not metric.single_looks:
        return None
    head, *others = facts.SINGLE_LOOK
    return table(
        facts.single_look_caption(story, metric),
        [head, *(f"{name}:" if name not in ("one look", "all looks") else name for name in others)],
        facts.single_look_rows(metric),
    )


def _point_row(point: Point, kind: str) -> list[str]:
    return [
        str(point.look),
        f"{point.at:%m-%d %H:%M:%S}",
        words.plain(point.verdict),
        words.effect(point.effect, kind),
        words.interval(point.low, point.high, kind),
        words.effect(point.margin, kind),
        words.level(point.baseline, kind),
        words.level(point.canary, kind),
    ]


def _traffic(story: Story) -> Markup:
    if not story.weights:
        return _section("traffic", "Traffic", element("p", "No traffic was shifted."))
    plot = Markup(weight_plot("traffic", story.weights, _scale(story, LOW_HEIGHT)))
    first, last = story.weights[: ROWS // 2], story.weights[ROWS // 2 :][-ROWS // 2 :]
    left_out = len(story.weights) - len(first) - len(last)
    said = f"Shifts that every proxy showed{f'; {left_out} in the middle are left out' if left_out else ''}"
    return _section(
        "traffic",
        "Traffic",
        element("figure", plot, element("figcaption", "The canary's share of the traffic, as it was read back.")),
        table(
            said,
            ["at (UTC)", "canary:", "what"],
            [[words.moment(shift.at), f"{shift.weight:g} %", shift.what] for shift in (*first, *last)],
        ),
    )


def _decisions(story: Story) -> Markup:
    every = facts.decisions(story)
    first, last = every[: DECISIONS // 2], every[DECISIONS // 2 :][-DECISIONS // 2 :]
    left_out = len(every) - len(first) - len(last)
    note = (
        element("p", f"{left_out:,} of {len(every):,} in the middle are left out; -o json has all.")
        if left_out
        else None
    )
    return _section("decisions", "Decisions", note, _decision_table([*first, *last]))


def _decision_table(decisions: Sequence[DecisionStory]) -> Markup:
    rows = [[words.moment(one.at), words.plain(one.kind), one.by, one.reason] for one in decisions]
    return table("What was decided, said and done, and why", ["at (UTC)", "what", "by", "why"], rows)


def _checks(story: Story) -> Markup:
    if not story.checks:
        return _section("checks", "Admission checks", element("p", "The ledger holds none."))
    rows = [[check.name, _badge("pass" if check.ok else "fail"), check.reason] for check in story.checks]
    return _section(
        "checks", "Admission checks", table("Before anything was touched", ["check", "result", "why"], rows)
    )


def _judged(story: Story) -> Markup:
    return _section("judged", "What was judged, and how", pairs(facts.judged(story)))


def _reading() -> Markup:
    text = (
        "Effects are odds ratios, canary over baseline: ×1 is no difference, ×2 twice as likely. The interval holds at "
        "all looks together, so looking often spoils nothing; it narrows as requests come in. Times are UTC. This "
        "page was made from the ledger alone, and loads nothing from anywhere."
    )
    return _section("reading", "How to read this page", element("p", text))


def _badge(verdict: str) -> Markup:
    return element("span", words.plain(verdict), class_=f"badge {verdict.replace('_', '-')}")


def _scale(story: Story, height: float) -> Scale:
    moments = [look.at for look in story.looks] + [shift.at for shift in story.weights]
    start, end = min(moments, default=story.began), max(moments, default=story.last)
    return Scale(start, max(end, start + timedelta(seconds=1)), height)
