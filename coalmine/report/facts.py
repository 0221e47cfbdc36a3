"""What both forms of the page say in words: names with their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coalmine.diagnosis import BY_CHANCE
from coalmine.records import Contribution, LabelRanking
from coalmine.report import words
from coalmine.report.story import DecisionStory, MetricStory, Story
from coalmine.spec.digest import SHOWN
from coalmine.standing import looks_text


def change(story: Story) -> str:
    """``checkout 1.41.0 → 1.42.0 in production (eu)``."""
    versions = " → ".join(part for part in (story.baseline_version, story.version) if part)
    region = f" ({story.region})" if story.region else ""
    return f"{story.service} {versions} in {story.environment}{region}"


def ending(story: Story) -> str:
    """The outcome, or that there is none yet."""
    if story.outcome:
        return words.plain(story.outcome)
    return "open" if story.open else "advice only"


def about(story: Story) -> list[tuple[str, str]]:
    """The rollout in a few lines."""
    took = story.ended or story.last
    restored = words.level(story.seconds_to_restore, "latency") if story.seconds_to_restore is not None else ""
    return [
        ("Rollout", story.rollout_id),
        ("Started", f"{words.moment(story.began)} by {story.by or 'nobody on record'}" + _automated(story)),
        ("Ended" if story.ended else "Last entry", f"{words.moment(took)}, after {words.span(took - story.began)}"),
        ("Cause", words.plain(story.cause) if story.cause else ""),
        ("Route restored within", restored),
        ("Looks", looks_text(len(story.looks), story.planned_looks)),
        ("Canary requests judged", f"{story.canary_requests:,}"),
    ]


def judged(story: Story) -> list[tuple[str, str]]:
    """What was judged and how strictly: arms, spec, policy, metrics, the way up."""
    spec = story.spec
    arms = _mapping(spec.get("arms"))
    facts = [(f"Arm {name}", _said(arms.get(name))) for name in ("baseline", "canary") if arms.get(name)]
    facts.append(
        ("Spec", f"sha256 {story.spec_hash[:SHOWN]} ({story.spec_hash})" if story.spec_hash else "not recorded")
    )
    facts.append(("History of the service", story.history_note))
    facts.append(("Route", _said(spec.get("route"))))
    steps = spec.get("steps")
    facts.append(("Steps", "; ".join(_said(step) for step in steps) if isinstance(steps, list) else ""))
    metrics = spec.get("metrics")
    for metric in metrics if isinstance(metrics, list) else []:
        rest = {key: value for key, value in _mapping(metric).items() if key != "name"}
        facts.append((f"Metric {_mapping(metric).get('name')}", _said(rest)))
    facts.append(("Policy", _said(spec.get("policy"))))
    facts.append(("Promotion", _said(spec.get("promotion"))))
    return facts


def decisions(story: Story) -> list[DecisionStory]:
    """Decisions in order of time, with the looks that decided something among them."""
    looks = [
        DecisionStory(at=look.at, kind=f"look {look.look} {look.action}", reason=look.reason)
        for look in story.looks
        if look.action != "continue"
    ]
    return sorted([*story.decisions, *looks], key=lambda one: one.at)


SINGLE_LOOK = ["until the end of", "canary", "baseline", "effect", "one look", "all looks", "p", "p (Holm)"]
"""Columns of ``single_look_rows``."""
SINGLE_LOOK_LACKS = "The columns of a single look, and p-values adjusted for their number, are not shown: "


def single_look_caption(story: Story, metric: MetricStory) -> str:
    """What the table of single looks says, and what it may not be used for."""
    alpha = _mapping(story.spec.get("policy")).get("alpha", 0.01)
    bound = metric.single_looks[0].slower_than
    slower = f", requests slower than {words.level(bound, 'latency')}" if bound is not None else ""
    tested = sum(any(row.adjusted is not None for row in one.single_looks) for one in story.metrics)
    return (
        f"{metric.name}{slower}: had it been read once only, {100 * (1 - alpha):g} % intervals. Valid for one look "
        f"that was planned beforehand. p of no difference is that of the end, adjusted for {tested} "
        f"metric{'s' * (tested != 1)} by Holm"
    )


def single_look_rows(metric: MetricStory) -> list[list[str]]:
    """A row for each step: what was counted until its end, and both intervals there."""
    rows = []
    for row in metric.single_looks:
        point = next((point for point in reversed(metric.points) if point.look <= row.look), None)
        rows.append(
            [
                f"step {row.step} (look {row.look})" if row.step else f"look {row.look}",
                _counted(row.canary_events, row.canary_total),
                _counted(row.baseline_events, row.baseline_total),
                words.effect(row.effect, metric.kind),
                words.interval(row.low, row.high, metric.kind),
                words.interval(point.low, point.high, metric.kind) if point else "–",
                words.chance(row.chance),
                words.chance(row.adjusted),
            ]
        )
    return rows


def arms_of(ranking: LabelRanking, value: Contribution) -> tuple[str, str]:
    """What canary and baseline counted under a value of a label, or their levels."""
    if value.canary_level is not None:
        series = f" ({value.canary_total} series)" if value.canary_total > 1 else ""
        against = f"{value.baseline_level:,.4g}" if value.baseline_level is not None else "–"
        return f"{value.canary_level:,.4g}{series}", against
    arms = ((value.canary_events, value.canary_total), (value.baseline_events, value.baseline_total))
    canary, baseline = (_counted(events, None if ranking.of_events else total) for events, total in arms)
    return canary, baseline


def significant(ranking: LabelRanking) -> str:
    """How many values of a label are beyond chance; empty where that is not known."""
    known = [value.adjusted for value in ranking.values if value.adjusted is not None]
    if not known:
        return ""
    return f"{sum(p < BY_CHANCE for p in known)} of {len(known)} values significant (Holm, p < {BY_CHANCE:g})"


def _counted(events: int, total: int | None) -> str:
    return f"{events:,}" if total is None else f"{events:,} of {total:,}"


def _automated(story: Story) -> str:
    return " (automated)" if story.automated else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _said(value: Any) -> str:
    """Nested data on one line, as a person would write it."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_inner(part)}" for key, part in value.items() if part not in (None, {}, []))
    if isinstance(value, list):
        return ", ".join(_inner(part) for part in value)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _inner(value: Any) -> str:
    return f"({_said(value)})" if isinstance(value, dict | list) else _said(value)
