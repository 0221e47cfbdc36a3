"""One rollout as a page shows it: its parts, each rendered by itself so that only what changed is sent again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from markupsafe import Markup

from coalmine.cli import _words
from coalmine.console import submitter
from coalmine.dashboard.watch import Seen
from coalmine.effects import effect_text, interval_text, level, margin_text
from coalmine.queueing import line_text
from coalmine.recorded import Judgement
from coalmine.records import LedgerEntry, MetricVerdict, Outcome, Phase, Refusal, RolloutStatus, Verb
from coalmine.report import words
from coalmine.report.plots import Scale, effect_plot, weight_plot
from coalmine.report.story import LookStory, Point, WeightStory
from coalmine.report.telling import number
from coalmine.report.thinning import thin
from coalmine.standing import looks_text, restored_text

DRAWN = 240
"""Looks of one metric in a plot."""
DECISIONS = 100
"""Entries that are shown, the newest."""
HEIGHT, LOW = 230.0, 150.0
_KINDS = {"difference": "value"}
"""How a plot writes an effect, by its measure; all others are ratios."""


@dataclass(frozen=True)
class MetricView:
    """One metric: what is said, and its picture."""

    verdict: MetricVerdict
    name: str
    effect: str
    interval: str
    margin: str
    baseline: str
    canary: str
    plot: Markup | None = None
    compared: bool = True


@dataclass(frozen=True)
class DecisionView:
    """One entry of the record."""

    at: datetime
    kind: str
    by: str
    reason: str


@dataclass(frozen=True)
class RolloutView:
    """Everything the page shows."""

    status: RolloutStatus
    headline: str
    standing: str
    tone: str
    """``good`` ``bad`` ``warn`` or empty: never said by colour alone, ``standing`` says it."""
    started: str
    metrics: tuple[MetricView, ...]
    traffic: Markup | None
    steps: tuple[tuple[str, str, str], ...]
    """Weight, gate, state."""
    gate: str
    next: str
    restored: str
    looks: str
    requests: str
    decisions: tuple[DecisionView, ...]
    left_out: int
    refused: tuple[Refusal, ...]
    verbs: tuple[Verb, ...]
    seen: Seen = field(default_factory=Seen)


def view(seen: Seen) -> RolloutView:
    """What to show of a rollout that was seen; its status must be there."""
    status = seen.status
    if status is None:
        raise AssertionError("nothing is known of the rollout yet")
    weights = [WeightStory(at=at, weight=share) for at, share in seen.past.shares()]
    looks = seen.past.looks
    scale = _scale(status, looks, weights)
    decided = _decided(seen.log.entries, looks, weights)
    entries = [entry for entry in seen.log.entries if entry.kind != "look" or _acted(entry)]
    return RolloutView(
        status=status,
        headline=f"{_words.versions(status)} in {_words.place(status)}",
        standing=_words.standing(status),
        tone=_tone(status),
        started=submitter(status.by, status.starter) + (" (automated)" if status.automated else ""),
        metrics=tuple(_metric(verdict, at, looks, decided, _tall(scale)) for at, verdict in enumerate(status.verdicts)),
        traffic=Markup(weight_plot("traffic", weights, scale)) if weights else None,
        steps=_steps(status),
        gate=_words.gate(status),
        next=line_text(status.waiting),
        restored=restored_text(status),
        looks=looks_text(status.looks, status.planned_looks),
        requests=_requests(status),
        decisions=tuple(_decision(entry) for entry in reversed(entries[-DECISIONS:])),
        left_out=max(len(entries) - DECISIONS, 0) + seen.log.dropped,
        refused=tuple(reversed(status.refused)),
        verbs=tuple(status.can_send),
        seen=seen,
    )


def announcement(before: RolloutStatus | None, now: RolloutStatus) -> str:
    """What a screen reader is told of a change: phase, weight, verdicts and gate, not every count."""
    if before is None or _told(before) == _told(now):
        return ""
    said = [f"{now.service}: {_words.standing(now)}"]
    if [v.verdict for v in before.verdicts] != [v.verdict for v in now.verdicts]:
        said.append(", ".join(f"{v.metric} {words.plain(v.verdict)}" for v in now.verdicts))
    if (gate := _words.gate(now)) and gate != _words.gate(before):
        said.append(f"gate {gate}")
    return "; ".join(said)


def _told(status: RolloutStatus) -> tuple[object, ...]:
    return _words.standing(status), [v.verdict for v in status.verdicts], _words.gate(status)


def _tone(status: RolloutStatus) -> str:
    if status.outcome is Outcome.PROMOTED:
        return "good"
    if status.outcome is not None or status.phase is Phase.ROLLING_BACK:
        return "bad"
    return "warn" if status.phase in (Phase.HELD, Phase.GATED) or status.paused else ""


def _steps(status: RolloutStatus) -> tuple[tuple[str, str, str], ...]:
    said = {"done": "done", "now": "now", "todo": "to come"}
    shown = [(f"{step.weight:g} %", step.gate or "", said[step.state]) for step in status.steps]
    if not shown:
        return ()
    full = status.phase in (Phase.BAKING, Phase.WINDOW) or status.outcome is Outcome.PROMOTED
    return (*shown, ("100 %", "", "done" if full else "to come"))


def _requests(status: RolloutStatus) -> str:
    step = _words.current_step(status)
    if status.phase in (Phase.STEPPING, Phase.GATED) and step is not None:
        wanted = f" of at least {step.min_requests:,}" if step.min_requests else ""
        return f"{status.canary_requests:,}; {status.step_requests:,}{wanted} in this step"
    return f"{status.canary_requests:,}"


def _metric(
    verdict: MetricVerdict, at: int, looks: Sequence[Judgement], decided: Sequence[LookStory], scale: Scale
) -> MetricView:
    points = [_point(said, look) for look in looks for said in look.verdicts if said.metric == verdict.metric]
    compared = any(point.effect is not None for point in points)
    kind = _KINDS.get(verdict.measure, "ratio")
    plot = None
    if compared:
        drawn = thin(points, DRAWN, {look.look for look in decided}).points
        plot = Markup(effect_plot(verdict.metric, kind, f"metric-{at}", drawn, decided[-50:], scale))
    return MetricView(
        verdict=verdict,
        name=verdict.metric if verdict.role == "guardrail" else f"{verdict.metric} (signal)",
        effect=effect_text(verdict.effect, verdict.measure) if verdict.effect is not None else "–",
        interval=interval_text(verdict) or "–",
        margin=margin_text(verdict) or "–",
        baseline=level(verdict.baseline, verdict.kind),
        canary=level(verdict.canary, verdict.kind),
        plot=plot,
        compared=compared,
    )


def _point(said: MetricVerdict, look: Judgement) -> Point:
    low, high = said.interval or (None, None)
    return Point(
        look=look.look,
        at=look.at,
        verdict=said.verdict,
        effect=number(said.effect),
        low=number(low),
        high=number(high),
        margin=number(said.margin),
    )


def _acted(entry: LedgerEntry) -> bool:
    return str(entry.data.get("action", "continue")) != "continue"


def _decided(
    entries: Sequence[LedgerEntry], looks: Sequence[Judgement], weights: Sequence[WeightStory]
) -> list[LookStory]:
    """What is marked in the plots: each rise after the first step, and looks that held or rolled back.

    The record has its newest entries only, so that of a long rollout it no longer knows when it advanced.
    """
    found = [
        LookStory(look=int(number(entry.data.get("look")) or 0), at=entry.at, action=str(entry.data.get("action")))
        for entry in entries
        if entry.kind == "look" and entry.data.get("action") in ("hold", "roll_back")
    ]
    for before, after in pairwise(weights):
        if after.weight > before.weight:
            look = max((one.look for one in looks if one.at <= after.at), default=0)
            found.append(LookStory(look=look, at=after.at, action="promote" if after.weight >= 100 else "advance"))
    return sorted(found, key=lambda one: one.at)


def _decision(entry: LedgerEntry) -> DecisionView:
    kind = words.plain(entry.kind)
    if entry.kind == "look":
        kind = f"look {entry.data.get('look', '?')}: {words.plain(str(entry.data.get('action', '')))}"
    elif entry.kind in ("command", "refused") and entry.data.get("verb"):
        kind = f"{kind} {entry.data['verb']}"
    said = str(entry.data.get("said") or "")
    return DecisionView(entry.at, kind, entry.by, f"{entry.reason} (“{said}”)" if said else entry.reason)


def _scale(status: RolloutStatus, looks: Sequence[Judgement], weights: Sequence[WeightStory]) -> Scale:
    moments = [look.at for look in looks] + [shift.at for shift in weights]
    if status.started_at is not None:
        moments.append(status.started_at)
    if status.closed_at is not None:
        moments.append(status.closed_at)
    start, end = min(moments, default=datetime.now(UTC)), max(moments, default=datetime.now(UTC))
    return Scale(start, max(end, start + timedelta(seconds=1)), LOW)


def _tall(scale: Scale) -> Scale:
    return Scale(scale.start, scale.end, HEIGHT)
