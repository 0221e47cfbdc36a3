"""A rollout's status in words: the page of ``status`` and the parts of ``watch``."""

from __future__ import annotations

from datetime import datetime, timedelta

from coalmine.cli._bars import interval_bar
from coalmine.cli._output import columns, pairs
from coalmine.console import submitter
from coalmine.effects import effect_text, interval_text, margin_text
from coalmine.queueing import line_text
from coalmine.records import MetricVerdict, Outcome, Phase, RolloutStatus, StepStatus
from coalmine.spec.durations import format_duration
from coalmine.standing import looks_text, restored_text

PHASES = {
    Phase.ADMITTING: "being admitted",
    Phase.GATED: "waiting at a gate",
    Phase.STEPPING: "stepping",
    Phase.HELD: "held, needs a human",
    Phase.PROMOTING: "promoting",
    Phase.BAKING: "baking",
    Phase.WINDOW: "in its rollback window",
    Phase.ROLLING_BACK: "rolling back",
    Phase.CLOSED: "closed",
}
_RATIOS = ("odds ratio", "rate ratio")
_MARKS = {"done": "●", "now": "◐", "todo": "○"}


def moment(at: datetime | None) -> str:
    """A time in UTC, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z" if at else ""


def span(length: timedelta) -> str:
    """A length of time to the second, such as ``4m10s``."""
    return format_duration(timedelta(seconds=max(round(length.total_seconds()), 0)))


def left(until: datetime | None, now: datetime) -> str:
    """How long until then; ``now`` once it has passed."""
    if until is None:
        return ""
    return span(until - now) if until - now > timedelta(seconds=0.5) else "now"


def place(status: RolloutStatus) -> str:
    """Environment and region."""
    return status.environment + (f" ({status.region})" if status.region else "")


def versions(status: RolloutStatus) -> str:
    """``checkout 1.41.0 → 1.42.0``."""
    change = " → ".join(version for version in (status.baseline_version, status.version) if version)
    return f"{status.service} {change}".strip()


def standing(status: RolloutStatus) -> str:
    """Phase or outcome, weight, and whether it is paused."""
    if status.outcome is not None:
        by = f" ({status.cause})" if status.cause else ""
        window = ", in its rollback window" if status.phase is Phase.WINDOW else ""
        return f"{str(status.outcome).replace('_', ' ')}{by}{window}"
    if status.phase is Phase.CLOSED:
        return "closed" + (", advice only" if status.advise else "")
    paused = ", paused" if status.paused else ""
    advice = ", advice only" if status.advise else ""
    return f"{PHASES[status.phase]} at {status.canary_weight:g} %{paused}{advice}"


def headline(status: RolloutStatus) -> str:
    """One line: what, where, and how it stands."""
    return f"{versions(status)} in {place(status)}: {standing(status)}"


def steps(status: RolloutStatus) -> str:
    """All steps in one line."""
    if not status.steps:
        return ""
    shown = [f"{_MARKS[step.state]} {step.weight:g} %" + (f" [{step.gate}]" if step.gate else "")
             for step in status.steps]  # fmt: skip
    full = status.phase in (Phase.BAKING, Phase.WINDOW) or status.outcome is Outcome.PROMOTED
    return "  ".join([*shown, f"{'●' if full else '○'} 100 %"])


def current_step(status: RolloutStatus) -> StepStatus | None:
    """The step it is in."""
    return next((step for step in status.steps if step.state == "now"), None)


def progress(status: RolloutStatus, now: datetime) -> str:
    """Time and requests left in this step, or until the deadline."""
    parts = []
    step = current_step(status)
    if status.phase in (Phase.STEPPING, Phase.GATED) and step is not None:
        if status.step_ends_at is not None:
            remaining = left(status.step_ends_at, now)
            parts.append("time is met" if remaining == "now" else f"{remaining} left")
        if step.min_requests:
            parts.append(f"{min(status.step_requests, step.min_requests):,} of {step.min_requests:,} requests")
        else:
            parts.append(f"{status.step_requests:,} requests")
    if status.deadline_at is not None:
        named = {Phase.HELD: "hold", Phase.GATED: "gate", Phase.BAKING: "bake", Phase.WINDOW: "rollback window"}
        parts.append(f"{named.get(status.phase, 'deadline')} ends in {left(status.deadline_at, now)}")
    return ", ".join(parts)


def looks(status: RolloutStatus, now: datetime) -> str:
    """How many looks there were, and when the next is."""
    if not status.looks and status.next_look_at is None:
        return ""
    following = f"; next in {left(status.next_look_at, now)}" if status.next_look_at else ""
    return f"{looks_text(status.looks, status.planned_looks)}{following}"


def gate(status: RolloutStatus) -> str:
    """The gate that waits."""
    waiting = status.gate
    if waiting is None or waiting.state == "open":
        return ""
    who = ", ".join(waiting.by) or "anyone"
    given = f"; approved by {', '.join(waiting.approvals)}" if waiting.approvals else ""
    return f"'{waiting.name}' waits for {waiting.count} of {who}{given}"


def diagnosis(status: RolloutStatus) -> str:
    """What points to the cause, with links; a line each."""
    found = status.diagnosis
    if found is None:
        return ""
    links = [f"{link.name}: {link.url}" for link in found.links]
    links += [f"trace {one.trace_id}: {one.link}" if one.link else f"trace {one.trace_id}" for one in found.exemplars]
    changes = [f"{moment(change.at)} {change.rollout_id} {change.what}" for change in found.changes[-3:]]
    return "\n".join([found.sentence, *links, *changes])


def effect(verdict: MetricVerdict) -> str:
    """``×1.03 [0.97, 1.10]``, or ``+0.12 [+0.08, +0.16]`` for a difference."""
    if verdict.effect is None:
        return ""
    shown = effect_text(verdict.effect, verdict.measure)
    return f"{shown} [{interval_text(verdict, ', ').replace('×', '')}]" if verdict.interval else shown


def verdict_rows(status: RolloutStatus) -> list[list[str]]:
    """Metric, verdict, bar, effect, margin, sentence."""
    return [
        [
            verdict.metric if verdict.role == "guardrail" else f"{verdict.metric} (signal)",
            verdict.verdict,
            # The bar's scale is logarithmic: for ratios to the baseline only.
            interval_bar(verdict.effect, verdict.interval, verdict.margin) if verdict.measure in _RATIOS else "",
            effect(verdict),
            margin_text(verdict),
            verdict.sentence,
        ]
        for verdict in status.verdicts
    ]


def facts(status: RolloutStatus, now: datetime, link: str | None = None) -> dict[str, str]:
    """Everything but the verdicts, by name; empty ones say nothing."""
    started = (
        f"{moment(status.started_at)} by {submitter(status.by, status.starter)}"
        if status.by
        else moment(status.started_at)
    )
    return {
        "rollout": status.rollout_id,
        "workflow": status.workflow_id,
        "started": started + (" (automated)" if status.automated else ""),
        "closed": moment(status.closed_at),
        "reason": status.reason,
        "steps": steps(status),
        "time": progress(status, now),
        "traffic": ", ".join(f"{name} {weight:g} %" for name, weight in sorted(status.weights.items())),
        "looks": looks(status, now),
        "held": status.held_reason,
        "cause": diagnosis(status),
        "gate": gate(status),
        "not yet": "\n".join(status.unmet) if status.outcome is None else "",
        "restored": restored_text(status),
        "next": line_text(status.waiting),
        "refused": "\n".join(f"{said.verb} by {said.by or '?'}: {said.reason}" for said in status.refused[-3:]),
        "history": status.history_note,
        "ledger": f"{status.ledger_backlog} entries not written yet" if status.ledger_backlog > 1 else "",
        "you can": " ".join(status.can_send),
        "page": link or "",
    }  # fmt: skip


def page(status: RolloutStatus, now: datetime, link: str | None = None) -> str:
    """The whole status as plain text."""
    parts = [headline(status), pairs(facts(status, now, link))]
    rows = verdict_rows(status)
    if rows:
        head = ["metric", "verdict", "less harm ┊ more harm", "canary/baseline", "margin"]
        parts.append(columns(head, [row[:5] for row in rows]))
        parts.append("\n".join(f"{row[0]}: {row[5]}" for row in rows if row[5]))
    return "\n\n".join(part for part in parts if part)


def change_line(status: RolloutStatus) -> str:
    """One line for logs: where it stands, the verdicts, and what is missing."""
    said = [standing(status)]
    if status.verdicts and status.phase is not Phase.CLOSED:
        said.append(", ".join(f"{v.metric} {v.verdict} {effect(v)}".strip() for v in status.verdicts))
    if status.held_reason:
        said.append(f"held: {status.held_reason}")
    if gate(status):
        said.append(f"gate {gate(status)}")
    if status.outcome is not None or status.phase in (Phase.CLOSED, Phase.ROLLING_BACK):
        said.append(status.reason)
    return "; ".join(part for part in said if part)
