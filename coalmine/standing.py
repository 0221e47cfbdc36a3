"""How a rollout stands in one line, and what to do about it: the first thing people read. Pure."""

from __future__ import annotations

from datetime import datetime

from coalmine.gates import approval_of, approvers
from coalmine.records import Outcome, Phase, RolloutStatus
from coalmine.rollout import RolloutState
from coalmine.slot_book import slot_text, waits_for_slot
from coalmine.spec.durations import format_duration

_RESTORED = {True: "yes, the route reads back as it was", False: "not confirmed yet", None: ""}
_NAMES = 8
"""Of those who may approve; the spec has all."""
_ENDED = {
    Outcome.PROMOTED: "Promoted: nothing to do",
    Outcome.ROLLED_BACK: "Rolled back: nothing left to do here",
    Outcome.REJECTED: "Rejected and taken back: nothing left to do here",
    Outcome.BLOCKED: "Blocked before it began: nothing was shifted",
    Outcome.SUPERSEDED: "Taken back: another version took its place",
    Outcome.FAILED: "Failed by our own error: look at the reason",
}


def standing(state: RolloutState) -> str:
    """``Approve or reject: gate 'go' waits, at 20 %``: the state, and what to do now."""
    at = f"{state.canary_share():g} %"
    if state.phase is Phase.CLOSED:
        return _ended(state)
    if state.phase is Phase.ROLLING_BACK:
        late = (bool(state.restore_failure) or state.restore_told > 0) and not state.restored
        return "ROLLBACK NOT DONE: mend the router, it goes on trying" if late else "Rolling back: nothing to do"
    if state.order is not None:
        return f"{state.order.verb.title()} ordered by {state.order.by}: nothing to do"
    if state.phase is Phase.ADMITTING:
        place = waits_for_slot(state)
        return f"Waiting to begin: {slot_text(place)}" if place else "Being admitted: nothing to do yet"
    if state.held is not None:
        return f"Held at {at}: send resume or rollback"
    gate = state.waiting_gate()
    if gate is not None:
        paused = " (paused as well)" if state.paused else ""
        return f"Approve or reject: gate '{gate.name}' waits, at {at}{paused}"
    if state.paused:
        return f"Paused at {at}: send resume to go on"
    if state.no_data_since is not None:
        return f"No data at {at} since {state.no_data_since:%H:%M:%S} UTC: look at the metrics"
    return _running(state, at)


def _running(state: RolloutState, at: str) -> str:
    if state.phase is Phase.PROMOTING and state.promotion_waits:
        return f"Going to 100 % as soon as the ledger takes entries, at {at} until then: pause and rollback work"
    if state.phase is Phase.PROMOTING:
        return "Going to 100 %: nothing to do"
    if state.phase is Phase.BAKING:
        return f"At {at}, watched until {clock(state.bake_ends)}: nothing to do"
    if state.phase is Phase.WINDOW:
        return f"Promoted: nothing to do; rollback works until {clock(state.window_ends)}"
    return f"Running at {at}: nothing to do"


def _ended(state: RolloutState) -> str:
    if state.cancelled and state.outcome is Outcome.ROLLED_BACK:
        return "Cancelled and rolled back: nothing left to do here"
    if state.outcome is not None:
        return _ENDED[state.outcome]
    if state.advise and state.advice is not None:
        return f"Advice: {state.advice.replace('_', ' ')}; no traffic was shifted"
    return "Cancelled: nothing left to do here"


def deadline_text(state: RolloutState) -> str:
    """What happens by itself when nobody says a word, and when; empty where nothing waits for people."""
    if state.phase is Phase.CLOSED or state.phase is Phase.ROLLING_BACK:
        return ""
    if state.held is not None:
        return (
            f"without a word it will {state.spec.policy.held.action.replace('_', ' ')} at {clock(state.held.deadline)}"
        )
    gate = state.waiting_gate()
    if gate is not None:
        late = approval_of(state.spec, gate.step).on_timeout.replace("_", " ")
        return f"without a word it will {late} at {clock(gate.deadline)}"
    if state.no_data_since is not None:
        policy = state.spec.policy
        then = policy.no_data.replace("_", " ")
        limit = state.no_data_since + policy.no_data_limit
        return f"it will {then} at {clock(limit)}, after {format_duration(policy.no_data_limit)} without data"
    return ""


def approval_text(state: RolloutState) -> str:
    """Whom the waiting gate asks for, by name, and who said yes already; empty when none waits."""
    gate = state.waiting_gate()
    if gate is None or state.phase in (Phase.CLOSED, Phase.ROLLING_BACK):
        return ""
    wanted = approval_of(state.spec, gate.step)
    allowed = approvers(state.spec, wanted)
    who = ", ".join(wanted.by) or "anyone"
    named = sorted(allowed - set(wanted.by)) if allowed is not None else []
    if named:
        more = f" and {len(named) - _NAMES} more" if len(named) > _NAMES else ""
        who = f"{who} ({', '.join(named[:_NAMES])}{more})"
    text = f"{wanted.count} of {who}"
    if wanted.four_eyes:
        text += "; not by who started or wrote it"
    counted = [yes for yes in gate.approvals if yes.attempt == gate.attempt and state.counts(gate, yes)]
    given = {state.person(yes.by, verified=yes.verified): yes.by for yes in counted}
    return text + (f"; approved so far by {', '.join(given.values())}" if given else "")


def restored_text(status: RolloutStatus) -> str:
    """Whether the route reads back as it was, and what stands in the way; empty before a rollback."""
    said = _RESTORED[status.restored]
    return f"{said}: try {status.restore_tries + 1}; {status.restore_failure}" if status.restore_failure else said


def looks_text(looks: int, planned: int) -> str:
    """``14 of about 70``; ``61, about 2 were planned`` of a rollout that waited."""
    if not planned:
        return f"{looks:,}"
    return f"{looks:,} of about {planned:,}" if looks <= planned else f"{looks:,}, about {planned:,} were planned"


def clock(moment: datetime | None) -> str:
    """``2026-03-01 12:00:00 UTC``."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "?"
