"""Who may open a gate: groups, four eyes, signed decisions, and breaking the glass. Pure."""

from __future__ import annotations

from datetime import datetime

from coalmine.gates import Approval, GateState, approval_of, approvers
from coalmine.identity.names import folded
from coalmine.records import CommandInput, Identity
from coalmine.rollout import RolloutState

SHORTEST_BREAK_GLASS = 20
"""Characters of the reason for opening a gate without the people it asks for."""
MOST_UNVERIFIED = 20
"""Words that do not count are kept up to so many a gate: the state is carried for ever."""


def why_not(state: RolloutState, gate: GateState, command: CommandInput, identity: Identity | None) -> str | None:
    """Why this person may not approve the gate, None when they may. ``identity`` is None when nothing was signed."""
    approval = approval_of(state.spec, gate.step)
    if command.break_glass:
        return _why_not_break(state, gate, command, identity)
    if approval.four_eyes and state.person(command.by, verified=True) in _own_eyes(state):
        return f"{command.by} may not approve gate '{gate.name}': four_eyes, and they started or wrote this release"
    allowed = approvers(state.spec, approval)
    if allowed is None or _is_among(state, command.by, allowed, verified=False):
        return None
    if identity is not None and (
        _is_among(state, identity.person, allowed, verified=True) or set(identity.groups) & set(approval.by)
    ):
        return None
    return f"{command.by} may not approve gate '{gate.name}': it asks for one of {', '.join(sorted(allowed))}"


def nameless(state: RolloutState, by: str) -> str | None:
    """Why nobody can say anything under this name, None when somebody can."""
    if state.by_older_rules or folded(by):
        return None
    return f"'by' is {by!r:.80}, of which nothing can be seen: say who you are"


def _is_among(state: RolloutState, name: str, people: set[str], *, verified: bool) -> bool:
    return state.person(name, verified=verified) in {state.person(one, verified=verified) for one in people}


def _own_eyes(state: RolloutState) -> set[str]:
    submission = state.submission
    proved = [state.starter.person] if state.starter is not None else []
    return {state.person(one.strip(), verified=True) for one in (submission.by, *submission.authors, *proved)}


def _why_not_break(
    state: RolloutState, gate: GateState, command: CommandInput, identity: Identity | None
) -> str | None:
    approval = approval_of(state.spec, gate.step)
    if not approval.break_glass:
        return f"gate '{gate.name}' has no glass to break (break_glass: false): it asks for its people"
    if approval.verified and identity is None:
        return f"gate '{gate.name}' counts signed decisions only: sign it, also to break the glass"
    wanted = _why_longer(command.reason)
    return f"breaking the glass of gate '{gate.name}' asks for {wanted}" if wanted else None


def _why_longer(reason: str) -> str | None:
    length = len(reason.strip())
    return f"a reason of {SHORTEST_BREAK_GLASS} characters, not {length}" if length < SHORTEST_BREAK_GLASS else None


def bars_promote(state: RolloutState, identity: Identity | None, reason: str = "") -> str | None:
    """Why nobody may go past the closed gates ahead, None when one may: promote is a way around every gate."""
    for gate in state.gates:
        if gate.step <= state.step or state.gate_open(gate):
            continue
        approval = approval_of(state.spec, gate.step)
        if not approval.break_glass:
            return f"gate '{gate.name}' cannot be passed over (break_glass: false): approve it"
        if approval.verified and identity is None:
            return f"gate '{gate.name}' counts signed decisions only: sign the promote, or approve the gate"
        if approval.verified and not state.by_older_rules and (wanted := _why_longer(reason)):
            return f"a promote past gate '{gate.name}', which counts signed decisions only, asks for {wanted}"
    return None


def said_already(state: RolloutState, gate: GateState, command: CommandInput, identity: Identity | None) -> bool:
    """This person said yes to this attempt; a signed yes is more than an unsigned one."""
    given = [yes for yes in gate.approvals if yes.attempt == gate.attempt]
    if identity is not None:
        return _is_among(state, command.by, {yes.by for yes in given if yes.verified}, verified=True)
    counts = not approval_of(state.spec, gate.step).verified
    return counts and _is_among(state, command.by, {yes.by for yes in given}, verified=False)


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
    same_attempt = {kept.by for kept in unverified if kept.attempt == given.attempt}
    known = _is_among(state, given.by, same_attempt, verified=False)
    if not known and len(unverified) < MOST_UNVERIFIED:
        gate.approvals.append(given)
    return f"recorded as unverified, which does not count: gate '{gate.name}' counts signed decisions only"


def use_token(state: RolloutState, identity: Identity, oldest: datetime) -> str | None:
    """Take a token as used; why not, when it was already.

    Args:
        state: Of the rollout; it keeps what was used.
        identity: Whoever signed it.
        oldest: When the word arrived that has been checked for longest, now where none is: times count at the arrival,
            so a copy of a token that expired since can still be taken.
    """
    if identity.token_id in state.used_tokens:
        return f"the token was used already (jti {identity.token_id!r:.60}): sign again"
    # What had expired before the oldest word arrived is refused anyhow.
    state.used_tokens = {used: until for used, until in state.used_tokens.items() if until > oldest}
    if identity.expires is not None:
        state.used_tokens[identity.token_id] = identity.expires
    return None
