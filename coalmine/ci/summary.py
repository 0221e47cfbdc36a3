"""A rollout as a CI job shows it: what it came to, the verdicts, and its traffic over time as a Mermaid diagram."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from coalmine.effects import effect_text, interval_text, margin_text
from coalmine.markdown import escaped
from coalmine.records import LedgerEntry, Phase, RolloutStatus
from coalmine.report import tell
from coalmine.report.story import DecisionStory
from coalmine.standing import restored_text

MILESTONES = 20
"""Decisions on the diagram; more cannot be told apart."""
_TOLD = ("command", "break_glass", "gate", "advance", "hold", "drift", "promote", "roll_back", "baking", "closed")
_TEXT = 400
_NOT_IN_A_TASK = re.compile(r"[^\w %.()+/-]")
"""Mermaid ends a task's name at a colon, a statement at a semicolon, and takes ``#`` for an entity."""


@dataclass(frozen=True)
class Past:
    """What the diagram is drawn from; nothing where nobody answered."""

    shares: Sequence[tuple[datetime, float]] = ()
    """The canary's share in percent from each shift on, of the whole rollout; with none there is no diagram."""
    entries: Sequence[LedgerEntry] = ()
    """From the query ``decisions``, which keeps the newest only."""
    dropped: int = 0
    """Entries that the query no longer has."""
    missing: str = ""
    """What of the shares is not known any more, as people read it."""


def job_summary(status: RolloutStatus, past: Past, link: str | None, now: datetime) -> str:
    """GitHub-flavoured Markdown.

    Args:
        status: As the watcher saw it last.
        past: Of this rollout.
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
        _diagram(status, past, now),
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


def _diagram(status: RolloutStatus, past: Past, now: datetime) -> str:
    if not past.shares:
        return ""
    end = max(status.closed_at or now, past.shares[-1][0])
    lines = ["```mermaid", "gantt", "    dateFormat x", "    axisFormat %H:%M:%S", "    section canary"]
    lines += _bars(past.shares, end)
    own = [entry for entry in past.entries if entry.rollout_id == status.rollout_id]
    decisions = [one for one in tell(own).decisions if one.kind in _TOLD] if own else []
    if decisions:
        lines.append("    section decisions")
        lines += [_milestone(one) for one in decisions[-MILESTONES:]]
    lines.append("```")
    if past.missing:
        lines += ["", f"{past.missing[0].upper()}{past.missing[1:]}."]
    if past.dropped:
        lines += ["", f"Decisions among the first {past.dropped:,} entries of the record are not drawn: "
                      f"`coalmine history {status.workflow_id}` tells them."]  # fmt: skip
    return "\n".join(lines)


def _bars(shares: Sequence[tuple[datetime, float]], end: datetime) -> list[str]:
    ends = [*(at for at, _ in shares[1:]), end]
    return [
        # A bar without length is an error to Mermaid.
        f"    {share:g} % :{_moment(at)}, {_moment(max(until, at + timedelta(seconds=1)))}"
        for (at, share), until in zip(shares, ends, strict=True)
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
    return escaped(flat if len(flat) <= _TEXT else flat[: _TEXT - 1] + "…")
