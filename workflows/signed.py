"""Signed decisions: an activity checks who signed, before the decision takes effect."""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine import commands
    from coalmine.identity.claims import longer_said
    from coalmine.records import VERIFY_DECISION, CommandInput, Identity, Verb, VerifyRequest
    from coalmine.rollout import RolloutState

from workflows.background import Rank, when
from workflows.calls import VERIFY, call
from workflows.interruption import failure_reason
from workflows.recalling import took_over

PATCH = "people-by-folded-names"
"""Runs that began before go on by the rules they began with (``RolloutState.by_older_rules``)."""
KEPT = "used-tokens-outlast-checks"
"""Histories recorded before forget a used token when it expires, though a copy of it may be under way."""
MOST_AT_ONCE = 20
"""Signed decisions that are verified at once; each is an activity in the history."""
MOST_WAITING = 200
"""Signed decisions that wait for that; it bounds what a flood can cost, and a real team never comes near it."""


class SignatureChecks:
    """So many at once, the others in order of arrival."""

    def __init__(self) -> None:
        self._running = 0
        self._waiting = 0
        self._arrivals: list[datetime] = []
        """Of the words that are being verified or wait for that, the oldest first."""

    def oldest_beside(self, state: RolloutState) -> datetime:
        """When the oldest word arrived that is still being verified, now where none is.

        Used tokens are kept by this rather than for so long after their expiry: a check takes up to the budget
        ``VERIFY``, but a word waits for its turn before, and its answer lies there while no worker runs.
        """
        now = workflow.now()
        oldest = min(self._arrivals, default=now)
        # Asked only where it makes a difference: a run whose history forgot one goes on so.
        if any(oldest < until <= now for until in state.used_tokens.values()) and not workflow.patched(KEPT):
            return now
        return oldest

    @property
    def idle(self) -> bool:
        """Whether nothing is being verified."""
        return not self._running and not self._waiting

    async def who_signed(self, state: RolloutState, verb: Verb, command: CommandInput) -> tuple[CommandInput, Identity]:
        """The decision, bound to the gate and attempt it met on arrival, and whoever signed it; when it is its turn.

        Raises:
            ValueError: nobody did, or it decides something else, or too many wait; says why.
        """
        if self._waiting >= MOST_WAITING:
            raise ValueError(f"{MOST_WAITING} signed decisions wait to be verified already: send it again")
        command, request = _asked(state, verb, command)
        self._arrivals.append(request.at)
        try:
            return await self._in_turn(state, verb, command, request)
        finally:
            self._arrivals.remove(request.at)

    async def _in_turn(
        self, state: RolloutState, verb: Verb, command: CommandInput, request: VerifyRequest
    ) -> tuple[CommandInput, Identity]:
        self._waiting += 1
        try:
            if self._running >= MOST_AT_ONCE:
                await workflow.wait_condition(lambda: self._running < MOST_AT_ONCE)
        finally:
            self._waiting -= 1
        self._running += 1
        try:
            return await _who_signed(state, verb, command, request)
        finally:
            self._running -= 1


def _asked(state: RolloutState, verb: Verb, command: CommandInput) -> tuple[CommandInput, VerifyRequest]:
    """The decision, bound to the gate and attempt it meets on arrival, and what has to be checked.

    Raises:
        ValueError: no gate is meant; says why.
    """
    gate = commands.gate_meant(state, command) if verb is Verb.APPROVE else None
    if verb is Verb.APPROVE and gate is None:
        raise ValueError(commands.refusal(state, verb, command) or "no gate is meant")
    if gate is not None:
        # Bound now: a gate that is asked anew while the token is checked is another attempt.
        command = command.model_copy(update={"gate": gate.name, "attempt": gate.attempt})
    request = VerifyRequest(
        token=command.token or "",
        verb=str(verb),
        rollout_id=state.rollout_id,
        reason=command.reason,
        gate=command.gate,
        attempt=command.attempt,
        break_glass=command.break_glass,
        longer=longer_said(command.for_) if verb is Verb.EXTEND else None,
        at=workflow.now(),
        context=state.context(),
        workflow_id=state.workflow_id,
        since=state.started_at,
        # What comes before it is known is heard again, or as new as the run.
        reset_at=state.reset_at or (workflow.now() if took_over() else None),
    )
    return command, request


async def _who_signed(
    state: RolloutState, verb: Verb, command: CommandInput, request: VerifyRequest
) -> tuple[CommandInput, Identity]:
    try:
        await when(lambda: True, Rank.DECISIONS)
        identity = await call(VERIFY_DECISION, request, VERIFY, f"{verb}: who signed it?")
    except ActivityError as error:
        raise ValueError(f"the signature could not be checked: {failure_reason(error)}") from None
    if not identity.person:
        raise ValueError(identity.reason)
    if state.person(identity.person, verified=True) != state.person(command.by, verified=True):
        raise ValueError(f"'by' is {command.by!r:.80}, and the token says {identity.person!r:.80}")
    return command.model_copy(update={"by": identity.person}), identity
