"""When people are told again that a gate waits for them, and when others are. Pure: from the state and the spec alone.

Reminders are due at whole multiples of ``remind`` since the gate began to wait, so that a restart, a reset or a
continue-as-new moves none of them; those that were missed are made up for by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from coalmine import console
from coalmine.gates import GateState, approval_of
from coalmine.records import Phase
from coalmine.rollout import RolloutState
from coalmine.spec.canary import CanarySpec
from coalmine.spec.channels import Notifier
from coalmine.spec.durations import format_duration
from coalmine.spec.steps import ApprovalGate


@dataclass(frozen=True)
class Reminder:
    """What is to be said of a waiting gate, and from when on."""

    gate: str
    attempt: int
    at: datetime
    escalates: bool


@dataclass(frozen=True)
class Words:
    """A reminder as people read it. ``to`` names channels, groups and people it is escalated to."""

    title: str
    text: str
    key: str
    asks: tuple[str, ...] = ()
    """Groups and people whose word is waited for."""
    to: tuple[str, ...] = ()


def asks_again(spec: CanarySpec) -> bool:
    """Whether any gate reminds or escalates."""
    approvals = (step.gate.approval for step in spec.steps if step.gate is not None)
    return any(one is not None and (one.remind is not None or one.escalate is not None) for one in approvals)


def next_reminder(state: RolloutState) -> Reminder | None:
    """What is to be said next, now or later; None while no gate waits for people, or nothing more comes in time.

    Nothing is said while the rollout is paused, held, or ordered to go elsewhere: what was due then is due after it.
    """
    gate = state.waiting_gate()
    if state.phase is not Phase.GATED or state.paused or state.order is not None or gate is None:
        return None
    if gate.waiting_since is None or gate.deadline is None:
        return None
    approval, since = approval_of(state.spec, gate.step), gate.waiting_since
    due: list[tuple[datetime, bool]] = []
    if approval.escalate is not None and not gate.escalated:
        due.append((since + approval.escalate.after, True))
    if approval.remind is not None:
        due.append((since + approval.remind * (gate.reminders + 1), False))
    # Of two at the same moment the escalation is sent, which reminds everyone else too.
    at, escalates = min(due, key=lambda one: (one[0], not one[1]), default=(gate.deadline, False))
    return Reminder(gate.name, gate.attempt, at, escalates) if at < gate.deadline else None


def remind(state: RolloutState, reminder: Reminder, now: datetime) -> Words:
    """Note in the state that the reminder was sent, and find its words. Call it when it is due."""
    gate = next(one for one in state.gates if one.name == reminder.gate)
    approval, since = approval_of(state.spec, gate.step), gate.waiting_since or now
    if approval.remind is not None:
        gate.reminders = max((now - since) // approval.remind, gate.reminders)
    gate.escalated = gate.escalated or reminder.escalates
    waited = format_duration(timedelta(seconds=round((now - since).total_seconds())))
    text = f"{_waits(state, gate, approval)} It has waited {waited}{_until(gate, approval)}"
    key = f"gate-{gate.name}-{gate.attempt}"
    if not reminder.escalates or approval.escalate is None:
        title = f"{console.headline(state)}: approval still needed"
        return Words(title, text, f"{key}-reminder-{gate.reminders}", tuple(approval.by))
    to = approval.escalate.to
    title = f"{console.headline(state)}: nobody has approved, escalated to {', '.join(to)}"
    groups = [f"{name}: {', '.join(state.spec.people[name])}." for name in to if name in state.spec.people]
    return Words(title, " ".join([text, *groups]), f"{key}-escalated", tuple(approval.by), tuple(to))


def channels_for(channels: Sequence[Notifier], to: Sequence[str]) -> list[Notifier]:
    """The channels a message goes to: all but those that hear escalations only and are not named in ``to``."""
    return [channel for channel in channels if channel.only is None or channel.name in to]


def _waits(state: RolloutState, gate: GateState, approval: ApprovalGate) -> str:
    given = sorted({yes.by for yes in gate.approvals if yes.attempt == gate.attempt})
    have = f", and has {len(given)} ({', '.join(given)})" if given else ""
    weight = state.spec.steps[gate.step].weight
    who = ", ".join(approval.by) or "anyone"
    return f"Gate '{gate.name}' before {weight:g} % waits for {approval.count} of {who}{have}."


def _until(gate: GateState, approval: ApprovalGate) -> str:
    if gate.deadline is None:
        return "."
    return f", and will {approval.on_timeout.replace('_', ' ')} at {gate.deadline:%Y-%m-%d %H:%M} UTC."
