"""What people send: signals for the Temporal UI and CLI, updates for tools that want the refusal back.

Both go through one function. Signals take the raw payload: one that does not decode would vanish in the SDK, so it is
read here, and every refused input is listed with its reason.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from coalmine import command_input, commands
    from coalmine.approving import use_token
    from coalmine.records import CommandInput, CommandReceipt, Identity, Verb
    from coalmine.rollout import RolloutState

from workflows.inputs import EXAMPLE, NOTHING, as_text, decoded
from workflows.journal import Journal
from workflows.recalling import took_over
from workflows.signed import SignatureChecks
from workflows.waiting import Waiting


class Messages:
    """The seven verbs, as signals and as updates of the same names. ``Canary`` inherits them."""

    _state: RolloutState | None
    _journal: Journal | None
    _checks: SignatureChecks
    _waiting: Waiting

    @workflow.signal(name="approve", description=f"Open the gate that waits, or the one named by 'gate': {EXAMPLE}")
    async def approve_signal(self, given: RawValue = NOTHING) -> None:
        """Approve, from the UI."""
        await self._take_signed(Verb.APPROVE, given)

    @workflow.signal(name="reject", description=f"Send the release back before it reaches 100 %: {EXAMPLE}")
    def reject_signal(self, given: RawValue = NOTHING) -> None:
        """Reject, from the UI."""
        self._take(Verb.REJECT, given)

    @workflow.signal(name="pause", description=f"Stop advancing; looks go on: {EXAMPLE}")
    async def pause_signal(self, given: RawValue = NOTHING) -> None:
        """Pause, from the UI."""
        await self._take_signed(Verb.PAUSE, given)

    @workflow.signal(name="resume", description=f"Go on after a pause or a hold: {EXAMPLE}")
    async def resume_signal(self, given: RawValue = NOTHING) -> None:
        """Resume, from the UI."""
        await self._take_signed(Verb.RESUME, given)

    @workflow.signal(name="extend", description='Lengthen the step, bake or deadline: {"by": "ana", "for": "30m"}')
    async def extend_signal(self, given: RawValue = NOTHING) -> None:
        """Extend, from the UI."""
        await self._take_signed(Verb.EXTEND, given)

    @workflow.signal(name="promote", description=f"Go to 100 % now, past steps, gates and the proof: {EXAMPLE}")
    async def promote_signal(self, given: RawValue = NOTHING) -> None:
        """Promote, from the UI."""
        await self._take_signed(Verb.PROMOTE, given)

    @workflow.signal(name="rollback", description=f"Restore the route as it was, at any time: {EXAMPLE}")
    def rollback_signal(self, given: RawValue = NOTHING) -> None:
        """Roll back, from the UI."""
        self._take(Verb.ROLLBACK, given)

    @workflow.signal(dynamic=True, description="Anything else is listed as refused, with the nearest verb")
    def unknown_signal(self, name: str, given: Sequence[RawValue]) -> None:
        """A misspelt verb does not vanish."""
        near = difflib.get_close_matches(name, [str(verb) for verb in Verb], n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        reason = f"'{name}' is not a verb of a rollout{hint} (known: {', '.join(Verb)})"
        self._refuse(name, reason, "", as_text(given[0]) if given else "")

    @workflow.update(name="approve", description=f"Open the gate that waits, or the one named by 'gate': {EXAMPLE}")
    async def approve_update(self, given: RawValue = NOTHING) -> CommandReceipt:
        """Approve, and hear at once when that is refused."""
        return await self._answer_signed(Verb.APPROVE, given)

    @approve_update.validator
    def _check_approve(self, given: RawValue = NOTHING) -> None:
        self._validate(Verb.APPROVE, given)

    @workflow.update(name="reject", description=f"Send the release back before it reaches 100 %: {EXAMPLE}")
    def reject_update(self, given: RawValue = NOTHING) -> CommandReceipt:
        """Reject, and hear at once when that is refused."""
        return self._answer(Verb.REJECT, given)

    @reject_update.validator
    def _check_reject(self, given: RawValue = NOTHING) -> None:
        self._validate(Verb.REJECT, given)

    @workflow.update(name="pause", description=f"Stop advancing; looks go on: {EXAMPLE}")
    async def pause_update(self, given: RawValue = NOTHING) -> CommandReceipt:
        """Pause, and hear at once when that is refused."""
        return await self._answer_signed(Verb.PAUSE, given)

    @pause_update.validator
    def _check_pause(self, given: RawValue = NOTHING) -> None:
        self._validate(Verb.PAUSE, given)

    @workflow.update(name="resume", description=f"Go on after a pause or a hold: {EXAMPLE}")
    async def resume_update(self, given: RawValue = NOTHING) -> CommandReceipt:
        """Resume, and hear at once when that is refused."""
        return await self._answer_signed(Verb.RESUME, given)

    @resume_update.validator
    def _check_resume(self, given: RawValue = NOTHING) -> None:
        self._validate(Verb.RESUME, given)

    @workflow.update(name="extend", description='Lengthen the step, bake or deadline: {"by": "ana", "for": "30m"}')
    async def extend_update(self, given: RawValue = NOTHING) -> CommandReceipt:
        """Extend, and hear at once when that is refused."""
        return await self._answer_signed(Verb.EXTEND, given)

    @extend_update.validator
    def _check_extend(self, given: RawValue = NOTHING) -> None:
        self._validate(Verb.EXTEND, given)

    @workflow.update(name="promote", description=f"Go to 100 % now, past steps, gates and the proof: {EXAMPLE}")
    async def promote_update(self, given: RawValue = NOTHING) -> CommandReceipt:
        """Promote, and hear at once when that is refused."""
        return await self._answer_signed(Verb.PROMOTE, given)

    @promote_update.validator
    def _check_promote(self, given: RawValue = NOTHING) -> None:
        self._validate(Verb.PROMOTE, given)

    @workflow.update(name="rollback", description=f"Restore the route as it was, at any time: {EXAMPLE}")
    def rollback_update(self, given: RawValue = NOTHING) -> CommandReceipt:
        """Roll back, and hear at once when that is refused."""
        return self._answer(Verb.ROLLBACK, given)

    @rollback_update.validator
    def _check_rollback(self, given: RawValue = NOTHING) -> None:
        self._validate(Verb.ROLLBACK, given)

    async def _take_signed(self, verb: Verb, given: Any) -> None:
        """A signal that may carry a token; one without takes effect at once."""
        if not self._has_token(verb, given):
            self._take(verb, given)
            return
        try:
            await self._verified(verb, given)
        except ApplicationError:
            return  # Listed as refused already.

    async def _answer_signed(self, verb: Verb, given: RawValue) -> CommandReceipt:
        if not self._has_token(verb, given):
            return self._answer(verb, given)
        return await self._verified(verb, given)

    def _has_token(self, verb: Verb, given: Any) -> bool:
        try:
            return self._read(verb, given).token is not None
        except ValueError:
            return False

    async def _verified(self, verb: Verb, given: Any) -> CommandReceipt:
        """Find out who signed, then look again whether it still means something: much may have happened meanwhile.

        Raises:
            ApplicationError: refused, and listed.
        """
        command = self._read(verb, given)
        try:
            command, identity = await self._who_signed(verb, command)
            reason = commands.refusal(self._rollout, verb, command, identity)
            # Marked as used last: a refused decision may be sent again.
            reason = reason or use_token(self._rollout, identity, self._checks.oldest_beside(self._rollout))
        except ValueError as error:
            reason = str(error)
        if reason is not None:
            self._refuse(verb, reason, command.by, as_text(given))
            raise ApplicationError(reason, type="Refused", non_retryable=True)
        return CommandReceipt(message=self._do(verb, command, identity), phase=self._rollout.phase)

    async def _who_signed(self, verb: Verb, command: CommandInput) -> tuple[CommandInput, Identity]:
        state = self._state
        if state is None or not state.rollout_id:
            raise ValueError("the rollout has no id yet, so nothing can have been signed for it")
        return await self._checks.who_signed(state, verb, command)

    def _take(self, verb: Verb, given: Any) -> None:
        """A signal: do it, or list it as refused."""
        try:
            command = self._read(verb, given)
        except ValueError as error:
            self._refuse(verb, str(error), "", as_text(given))
            return
        reason = self._why_not(verb, command)
        if reason is not None:
            self._refuse(verb, reason, command.by, as_text(given))
            return
        self._do(verb, command)

    def _validate(self, verb: Verb, given: RawValue) -> None:
        """An update's validator: a refusal leaves no event, and its reason goes to the caller.

        Not in a run that a reset made, where the handler refuses. What was said before comes again there, and is the
        only news of a task: one that is refused without an event wakes the workflow now, and never at a replay.
        """
        if not took_over():
            self._check(verb, given)

    def _check(self, verb: Verb, given: RawValue) -> None:
        try:
            command = self._read(verb, given)
            # Who signed is not known yet: the handler refuses, and lists it.
            signed = command.token is not None and verb not in (Verb.ROLLBACK, Verb.REJECT)
            reason = None if signed else self._why_not(verb, command)
        except ValueError as error:
            reason = str(error)
        if reason is not None:
            raise ApplicationError(reason, type="Refused", non_retryable=True)

    def _answer(self, verb: Verb, given: RawValue) -> CommandReceipt:
        self._check(verb, given)
        message = self._do(verb, self._read(verb, given))
        return CommandReceipt(message=message, phase=self._rollout.phase)

    def _read(self, verb: Verb, given: Any) -> CommandInput:
        try:
            return command_input.decode(verb, decoded(given))
        except ValueError:
            raise
        except Exception as error:
            # Whatever else reading fails with would fail the workflow's task, at every try: nothing could stop it then.
            raise ValueError(f"the input cannot be used ({type(error).__name__}); send {EXAMPLE}") from None

    def _why_not(self, verb: Verb, command: CommandInput) -> str | None:
        if self._state is None:
            return "no release was submitted to this workflow yet"
        return commands.refusal(self._state, verb, command)

    def _do(self, verb: Verb, command: CommandInput, identity: Identity | None = None) -> str:
        gate = commands.gate_meant(self._rollout, command) if command.break_glass else None
        broken = gate is not None and not self._rollout.gate_open(gate)
        message = commands.carry_out(self._rollout, verb, command, workflow.now(), identity)
        self._waiting.poke()
        if self._journal is not None:
            signed: dict[str, Any] = (
                {"verified": True, "key": identity.key} if identity is not None else {"verified": False}
            )
            self._journal.note("command", message, command.by, verb=str(verb), said=command.reason, **signed)
            if gate is not None and broken:
                self._journal.break_glass(gate.name, command.by, command.reason, verified=identity is not None)
            self._journal.show()
        return message

    def _refuse(self, verb: str, reason: str, by: str, given: str) -> None:
        workflow.logger.warning("input refused", extra={"verb": verb, "why": reason})
        if self._journal is not None:
            self._journal.refuse(verb, reason, by, given)

    def refuse_surplus(self, name: str, count: int) -> None:
        """List a signal that came with several inputs (the interceptor calls this)."""
        self._refuse(name, f"'{name}' takes one input, got {count}: send {EXAMPLE}", "", "")

    @property
    def _rollout(self) -> RolloutState:
        if self._state is None:
            raise ApplicationError("no release was submitted to this workflow yet", type="Refused", non_retryable=True)
        return self._state
