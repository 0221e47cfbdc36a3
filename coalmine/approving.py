"""Who may open a gate: groups, four eyes, signed decisions, and breaking the glass. Pure."""

from __future__ import annotations

from datetime import datetime

from coalmine.records import CommandInput, Identity
from coalmine.rollout import Approval, GateState, RolloutState, approval_of, approvers

SHORTEST_BREAK_GLASS = 20
"""Characters of the reason for opening a gate without the people it asks for."""
MOST_UNVERIFIED = 20
"""Words that do not count are kept up to so many a gate: the state is carried for ever."""


def why_not(state: RolloutState, gate: GateState, command: CommandInput, identity: Identity | None) -> str | None:
    """Why this person may not approve the gate, None when they may. ``identity`` is None when nothing was signed."""
    approval = approval_of(state.spec, gate.step)
    if command.break_glass:
        return _why_not_break(state, gate, command, identity)
    if approval.four_eyes and command.by.casefold() in _own_eyes(state):
        return f"{command.by} may not approve gate '{gate.name}': four_eyes, and they started or wrote this release"
    allowed = approvers(state.spec, approval)
    if allowed is None or command.by in allowed:
        return None
    if identity is not None:
        people = {person.casefold() for person in allowed}
        if identity.person.casefold() in people or set(identity.groups) & set(approval.by):
            return None
    return f"{command.by} may not approve gate '{gate.name}': it asks for one of {', '.join(sorted(allowed))}"


def _own_eyes(state: RolloutState) -> set[str]:
    submission = state.submission
    proved = [state.starter.person] if state.starter is not None else []
    return {person.strip().casefold() for person in (submission.by, *submission.authors, *proved)}


def _why_not_break(
    state: RolloutState, gate: GateState, command: CommandInput, identity: Identity | None
) -> str | None:
    approval = approval_of(state.spec, gate.step)
    if not approval.break_glass:
        return f"gate '{gate.name}' has no glass to break (break_glass: false): it asks for its people"
    if approval.verified and identity is None:
        return f"gate '{gate.name}' counts signed decisions only: sign it, also to break the glass"
    length = len(command.reason.strip())
    if length < SHORTEST_BREAK_GLASS:
        wanted = f"a reason of {SHORTEST_BREAK_GLASS} characters, not {length}"
        return f"breaking the glass of gate '{gate.name}' asks for {wanted}"
    return None


def bars_promote(state: RolloutState, identity: Identity | None) -> str | None:
    """Why nobody may go past the closed gates ahead, None when one may: promote is a way around every gate."""
    for gate in state.gates:
        if gate.step <= state.step or state.gate_open(gate):
            continue
        approval = approval_of(state.spec, gate.step)
        if not approval.break_glass:
            return f"gate '{gate.name}' cannot be passed over (break_glass: false): approve it"
        if approval.verified and identity is None:
            return f"gate '{gate.name}' counts signed decisions only: sign the promote, or approve the gate"
    return None


def said_already(state: RolloutState, gate: GateState, command: CommandInput, identity: Identity | None) -> bool:
    """This person said yes to this attempt; a signed yes is more than an unsigned one."""
    given = [yes for yes in gate.approvals if yes.attempt == gate.attempt]
    if identity is not None:
        return any(yes.verified and yes.by.casefold() == command.by.casefold() for yes in given)
    counts = not approval_of(state.spec, gate.step).verified
    return counts and any(yes.by == command.by for yes in given)


def record(
    state: RolloutState, gate: GateState, command: CommandInput, identity: Identity | None, now: datetime
) -> str | None:
    """Write the yes down; answers only where that is all there is to say, because it does not count."""
    approval = approval_of(state.spec, gate.step)
    given = Approval(
        by=command.by,
        attempt=gate.attempt,
        at=now,
        reason=command.reason,
        verified=identity is not None,
        break_glass=command.break_glass,
    )
    if not approval.verified or identity is not None:
        gate.approvals.append(given)
        return None
    unverified = [kept for kept in gate.approvals if not kept.verified]
    known = any(kept.by == given.by and kept.attempt == given.attempt for kept in unverified)
    if not known and len(unverified) < MOST_UNVERIFIED:
        gate.approvals.append(given)
    return f"recorded as unverified, which does not count: gate '{gate.name}' counts signed decisions only"


def use_token(state: RolloutState, identity: Identity, now: datetime) -> str | None:
    """Take a token as used; why not, when it was already."""
    if identity.token_id in state.used_tokens:
        return f"the token was used already (jti {identity.token_id!r:.60}): sign again"
    # An expired one is refused anyhow.
    state.used_tokens = {used: until for used, until in state.used_tokens.items() if until > now}
    if identity.expires is not None:
        state.used_tokens[identity.token_id] = identity.expires
    return None
