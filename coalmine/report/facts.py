"""What both forms of the page say in words: names with their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coalmine.report import words
from coalmine.report.story import DecisionStory, Story
from coalmine.spec.digest import SHOWN


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
        ("Looks", f"{len(story.looks):,}" + (f" of about {story.planned_looks:,}" if story.planned_looks else "")),
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
