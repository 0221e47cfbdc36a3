"""Saying to a rollout what somebody said in Slack: to the very rollout they meant, signed for them, once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from coalmine.chat.buttons import Pressed, stale
from coalmine.chat.people import Person
from coalmine.client import RolloutRef
from coalmine.errors import RefusedError, TemporalUnavailable
from coalmine.identity.claims import Decided, longer_said
from coalmine.records import CommandReceipt, RolloutStatus, Verb
from coalmine.rollout_commands import TRIES, check_still_runs
from coalmine.rollouts import Rollouts


@dataclass(frozen=True)
class Act:
    """One thing to say. ``asked`` is what a button was drawn for; None: whatever is so now."""

    verb: Verb
    asked: Pressed | None = None
    reason: str = ""
    gate: str | None = None
    attempt: int | None = None
    longer: timedelta | None = None
    break_glass: bool = False
    once: str = ""
    """Identifies the click or the command: said twice, it counts once."""


async def carry_out(
    rollouts: Rollouts,
    ref: RolloutRef,
    act: Act,
    person: Person,
    key: Mapping[str, Any] | None,
    unasked: RolloutRef | None = None,
) -> CommandReceipt:
    """Say it. A rollback is not lost while no worker answers: it is left for the next one.

    Args:
        rollouts: the connection.
        ref: the workflow.
        act: what is said.
        person: who says it.
        key: that signs for people; None: nothing is signed.
        unasked: the run a rollback is left with when nobody tells how it stands; None: then it is not said.

    Raises:
        RefusedError: it means nothing now, or the button is stale; says why.
        RolloutNotFound, TemporalUnavailable: as ``coalmine.client``.
    """
    for left in reversed(range(TRIES)):
        try:
            status = await rollouts.status(ref)
        except TemporalUnavailable:
            if act.verb is not Verb.ROLLBACK or unasked is None:
                raise
            once = act.once or None
            return await rollouts.send(unasked, act.verb, by=person.name, reason=act.reason, once=once)
        if act.asked is not None and (why := stale(act.asked, act.verb, status)):
            raise RefusedError(why)
        check_still_runs(ref, status)
        gate, attempt = _gate(act, status)
        token = None if key is None else _token(key, act, person, status, gate, attempt)
        # The run is named, so that it can be no other rollout's that took the id over a moment ago.
        pinned = RolloutRef(status.workflow_id or ref.workflow_id, status.run_id or ref.run_id)
        try:
            return await rollouts.send(
                pinned,
                act.verb,
                by=person.name,
                reason=act.reason,
                gate=gate,
                attempt=attempt,
                longer=act.longer,
                token=token,
                break_glass=act.break_glass,
                once=act.once or None,
            )
        except RefusedError:
            now = await rollouts.status(ref)
            if left and now.rollout_id == status.rollout_id and now.run_id != status.run_id:
                continue
            raise
    raise RefusedError(f"{ref.workflow_id} changed hands while it was told: say it again")


def _gate(act: Act, status: RolloutStatus) -> tuple[str | None, int | None]:
    """The gate and the attempt that are meant: those that are named, else the gate that waits as it is now."""
    if act.verb not in (Verb.APPROVE, Verb.REJECT):
        return None, None
    if act.asked is not None:
        return act.asked.gate, act.asked.attempt
    waits = status.gate if status.gate is not None and status.gate.state == "waiting" else None
    if waits is not None and act.gate in (None, waits.name):
        return (waits.name, act.attempt or waits.attempt) if act.verb is Verb.APPROVE else (act.gate, act.attempt)
    return act.gate, act.attempt


def _token(
    key: Mapping[str, Any], act: Act, person: Person, status: RolloutStatus, gate: str | None, attempt: int | None
) -> str | None:
    from coalmine.identity.service import sign_for

    if act.verb in (Verb.ROLLBACK, Verb.REJECT):
        return None  # They act at once, whoever said so; a token is not looked at.
    approves = act.verb is Verb.APPROVE
    decided = Decided(
        str(act.verb),
        status.rollout_id,
        act.reason,
        (gate or "") if approves else None,
        (attempt or 1) if approves else None,
        act.break_glass,
        longer_said(act.longer) if act.verb is Verb.EXTEND else None,
    )
    return sign_for(key, person.name, person.groups, decided, datetime.now(UTC), secrets.token_hex(16))
