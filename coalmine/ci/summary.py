"""A rollout as a CI job shows it: what it came to, the verdicts, and its traffic over time as a Mermaid diagram."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from coalmine.effects import effect_text, interval_text, margin_text
from coalmine.records import LedgerEntry, Phase, RolloutStatus
from coalmine.report import tell
from coalmine.report.story import DecisionStory, Story
from coalmine.standing import restored_text

MILESTONES = 20
"""Decisions on the diagram; more cannot be told apart."""
_TOLD = ("command", "break_glass", "gate", "advance", "hold", "drift", "promote", "roll_back", "baking", "closed")
_TEXT = 400
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")
_NOT_IN_A_TASK = re.compile(r"[^\w %.()+/-]")
"""Mermaid ends a task's name at a colon, a statement at a semicolon, and takes ``#`` for an entity."""


def job_summary(status: RolloutStatus, entries: Sequence[LedgerEntry], link: str | None, now: datetime) -> str:
    """GitHub-flavoured Markdown.

    Args:
        status: As the watcher saw it last.
        entries: Of this rollout, from the query ``decisions``; with none there is no diagram.
        link: The rollout's page in the Temporal UI.
        now: Where the last weight ends, while the rollout is open.
    """
    versions = " → ".join(part for part in (status.baseline_version, status.version) if part)
    place = status.environment + (f" ({status.region})" if status.region else "")
    facts = {
        "why": _text(status.reason or status.held_reason),
        "missing": _text("; ".join(status.unmet)) if status.outcome is None else "",
        "restored": _text(restored_text(status)),
        "traffic": f"{status.canary_weight:g} % on the canary, {status.looks:,} looks, "
        f"{status.canary_requests:,} canary requests",
        "started by": _text(status.starter or status.by),
        "rollout": f"`{status.rollout_id}`" + (f", [open it in Temporal]({link})" if link else ""),
    }
    parts = [
        f"## {_text(status.service)} {_text(versions)} in {_text(place)}: {standing(status)}",
        "\n".join(f"- **{name}:** {fact}" for name, fact in facts.items() if fact),
        _verdicts(status),
        _diagram(status, entries, now),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def failure_summary(why: str) -> str:
    """What there is to say where the command failed."""
    return f"## Coalmine: {_text(why.partition(chr(10))[0])}\n\n```\n{why}\n```\n"


def standing(status: RolloutStatus) -> str:
    """``rolled back``; while it is open, ``open, gated``."""
    if status.outcome is not None:
        return status.outcome.replace("_", " ")
    if status.phase is Phase.CLOSED:
        return "judged, no traffic shifted"
    return f"open, {status.phase.replace('_', ' ')}"


def _verdicts(status: RolloutStatus) -> str:
    if not status.verdicts:
        return ""
    rows = ["| metric | verdict | canary against baseline | interval | margin | why |", "|---|---|---|---|---|---|"]
    for verdict in status.verdicts:
        role = "" if verdict.role == "guardrail" else f" ({verdict.role})"
        effect = effect_text(verdict.effect, verdict.measure) if verdict.effect is not None else ""
        cells = [
            f"{_text(verdict.metric)}{role}",
            f"**{verdict.verdict}**",
            effect,
            interval_text(verdict),
            margin_text(verdict),
            _text(verdict.sentence),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _diagram(status: RolloutStatus, entries: Sequence[LedgerEntry], now: datetime) -> str:
    own = [entry for entry in entries if entry.rollout_id == status.rollout_id]
    if not own:
        return ""
    story = tell(own)
    if not story.weights:
        return ""
    end = max(status.closed_at or now, story.weights[-1].at)
    lines = ["```mermaid", "gantt", "    dateFormat x", "    axisFormat %H:%M:%S", "    section canary"]
    lines += _bars(story, end)
    if decisions := [one for one in story.decisions if one.kind in _TOLD]:
        lines.append("    section decisions")
        lines += [_milestone(one) for one in decisions[-MILESTONES:]]
    return "\n".join([*lines, "```"])


def _bars(story: Story, end: datetime) -> list[str]:
    ends = [*(weight.at for weight in story.weights[1:]), end]
    return [
        # A bar without length is an error to Mermaid.
        f"    {weight.weight:g} % :{_moment(weight.at)}, {_moment(max(until, weight.at + timedelta(seconds=1)))}"
        for weight, until in zip(story.weights, ends, strict=True)
    ]


def _milestone(one: DecisionStory) -> str:
    by = f" by {one.by}" if one.by else ""
    said = _NOT_IN_A_TASK.sub(" ", f"{one.kind.replace('_', ' ')}{by} {one.reason}")
    return f"    {' '.join(said.split())[:60]} :milestone, {_moment(one.at)}, 0s"


def _moment(at: datetime) -> int:
    """Milliseconds since 1970, Mermaid's ``x``."""
    return round(at.timestamp() * 1000)


def _text(text: str) -> str:
    flat = " ".join(text.split())
    return _SPECIAL.sub(r"\\\1", flat if len(flat) <= _TEXT else flat[: _TEXT - 1] + "…")
