"""Saying something to one rollout: as an update, which is answered, or a rollback that is never lost."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from coalmine import rollout_questions, searching
from coalmine.connection import asking, meaning, no_worker
from coalmine.errors import InputError, RefusedError, RolloutNotFound, TemporalUnavailable
from coalmine.executions import is_paused, is_task_lost
from coalmine.records import CommandInput, CommandReceipt, Phase, RolloutStatus, Verb, Withdrawal
from coalmine.records.texts import check_writable
from coalmine.rollout_questions import SERVER_WITHIN, RolloutQuestions
from coalmine.search_attributes import VERSION
from coalmine.searching import RolloutRef

TRIES = 3
"""A run that continued as new between question and word, or just as it was told, is asked and told again."""


def check_still_runs(ref: RolloutRef, status: RolloutStatus) -> None:
    """Whether the rollout that was named by its id is the one that answered.

    Raises:
        RefusedError: another one has taken the workflow over.
    """
    if ref.rollout_id not in ("", status.rollout_id):
        now = status.rollout_id or "the next one"
        raise RefusedError(f"{ref.rollout_id} is not running any more: {now} is, which is told nothing of this")


class RolloutCommands(RolloutQuestions):
    """``Coalmine`` inherits it."""

    async def send(
        self,
        ref: RolloutRef,
        verb: Verb,
        *,
        by: str,
        reason: str = "",
        gate: str | None = None,
        attempt: int | None = None,
        longer: timedelta | None = None,
        token: str | None = None,
        break_glass: bool = False,
        once: str | None = None,
    ) -> CommandReceipt:
        """Say something to a rollout and hear whether it was taken. A rollback is never lost: see below.

        When no worker answers, ``rollback`` is left as a signal, which the next worker finds. What is said again with
        the same ``once`` (of the same run) is not said twice: it gets the first answer.

        Raises:
            InputError: a text cannot be sent; names the field.
            RefusedError: it means nothing now; says why.
            RolloutNotFound: there is none.
            TemporalUnavailable: no worker answers, or it is paused in Temporal.
        """
        given = {"by": by, "reason": reason, "gate": gate, "attempt": attempt, "for": longer, "token": token}
        check_writable(given)
        command = CommandInput.model_validate(given | {"break_glass": break_glass})
        if not ref.rollout_id:
            return await self._send(ref, verb, command, once)
        for left in reversed(range(TRIES)):
            run = await self._run_of(ref, verb)
            try:
                return await self._send(run, verb, command, once)
            except (RefusedError, RolloutNotFound):
                if not left or await self._run_of(ref, verb) == run:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _run_of(self, ref: RolloutRef, verb: Verb) -> RolloutRef:
        """The run that the rollout is in now, so that what is said can reach no other rollout.

        Raises:
            RefusedError: another one has taken the workflow over.
            TemporalUnavailable: no worker answers, and ``verb`` cannot be left for one.
        """
        try:
            status = await self.status(RolloutRef(ref.workflow_id))
        except TemporalUnavailable:
            if verb is not Verb.ROLLBACK:
                raise
            return await self._run_shown(ref)
        check_still_runs(ref, status)
        return RolloutRef(ref.workflow_id, status.run_id or ref.run_id)

    async def _run_shown(self, ref: RolloutRef) -> RolloutRef:
        """The same where only the server answers: it knows the version of what runs, and no rollout's number.

        Raises:
            RefusedError: another version has taken the workflow over.
        """
        shown = await self._describe(RolloutRef(ref.workflow_id))
        version = shown.typed_search_attributes.get(VERSION)
        *_, meant, _ = ref.rollout_id.split("/")
        if version not in (None, "", meant):
            raise RefusedError(
                f"{ref.rollout_id} is not running any more: version {version} is, which is told nothing of this"
            )
        return RolloutRef(shown.id, shown.run_id)

    async def _send(self, ref: RolloutRef, verb: Verb, command: CommandInput, once: str | None) -> CommandReceipt:
        try:
            return await self._update(ref, str(verb), command, once)
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            if verb is not Verb.ROLLBACK:
                unknown = f"{verb} was not confirmed, and may still be carried out."
                raise TemporalUnavailable(f"{unknown} {no_worker(ref.workflow_id)}") from None
        except RPCError as error:
            if is_paused(error):
                return await self._said_to_paused(ref, verb, command)
            if verb is Verb.ROLLBACK and is_task_lost(error):
                kept = f"{verb} is recorded, and is carried out once a worker can carry out its tasks again"
                return await self._leave_signal(ref, verb, command, f"{kept}: coalmine history tells why they fail")
            raise self._unsaid(error, ref, verb) from error
        return await self._leave_signal(ref, verb, command)

    async def withdraw(self, ref: RolloutRef, version: str, *, by: str, reason: str = "") -> CommandReceipt:
        """Take a version that waits out of the line.

        Raises:
            RefusedError: it does not wait; says which do.
            RolloutNotFound: there is no rollout.
            TemporalUnavailable: no worker answers.
        """
        given = Withdrawal(version=version, by=by, reason=reason)
        check_writable(given)
        try:
            return await self._update(ref, "withdraw", given)
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            raise TemporalUnavailable(f"withdraw was not taken. {no_worker(ref.workflow_id)}") from None
        except RPCError as error:
            raise self._unsaid(error, ref, "withdraw") from error

    async def _update(
        self, ref: RolloutRef, name: str, given: CommandInput | Withdrawal, once: str | None = None
    ) -> CommandReceipt:
        """Have it taken by the workflow.

        Raises:
            RefusedError: it means nothing now, or the workflow is closed.
            RolloutNotFound: there is none.
            RPCError: the server does not pass it on.
        """
        for left in reversed(range(TRIES)):
            try:
                return CommandReceipt.model_validate(
                    await self._handle(ref).execute_update(
                        name, given, id=once, result_type=CommandReceipt, rpc_timeout=rollout_questions.CALL_WITHIN
                    )
                )
            except WorkflowUpdateFailedError as error:
                raise RefusedError(str(getattr(error.cause, "message", error.cause))) from None
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise await self._cannot_hear(ref) from None
                if not left or not is_task_lost(error):
                    raise
        raise AssertionError("the last try returns or raises")

    def _unsaid(self, error: RPCError, ref: RolloutRef, name: str) -> Exception:
        what = f"{name} to {ref.workflow_id}"
        return meaning(error, what, self.temporal.namespace, rollout_questions.CALL_WITHIN)

    async def _said_to_paused(self, ref: RolloutRef, verb: Verb, command: CommandInput) -> CommandReceipt:
        """A rollback waits for the workflow to go on; nothing else is kept for a moment nobody knows."""
        why = (await self._describe(ref)).why_paused(self.temporal.namespace)
        if verb is not Verb.ROLLBACK:
            raise TemporalUnavailable(f"{verb} was not taken. {why}")
        return await self._leave_signal(ref, verb, command, f"{verb} is recorded, and is carried out then. {why}")

    async def _leave_signal(
        self, ref: RolloutRef, verb: Verb, command: CommandInput, message: str = ""
    ) -> CommandReceipt:
        async with asking(f"workflow {ref.workflow_id}", self.temporal.namespace, SERVER_WITHIN):
            await self._handle(ref).signal(str(verb), command, rpc_timeout=SERVER_WITHIN)
        within = rollout_questions.CALL_WITHIN.total_seconds()
        message = message or (
            f"no worker answered within {within:g} s: {verb} is recorded and will be carried out "
            "by the next worker; start one with: coalmine worker"
        )
        phases: list[str] = []
        with suppress(TemporalUnavailable, InputError):  # It is recorded, whatever a list says of its phase.
            rows = await searching.list_rollouts(self.temporal, workflow_ids=[ref.workflow_id], running=True)
            phases = [row.phase for row in rows if row.phase]
        return CommandReceipt(message=message, phase=Phase(phases[0]) if phases else Phase.ADMITTING)

    async def _cannot_hear(self, ref: RolloutRef) -> Exception:
        """The error for a command to a workflow that is closed, or never was."""
        status = await self.status(ref)
        how = status.outcome or "ended"
        return RefusedError(f"{status.rollout_id or ref.workflow_id} is closed ({how}): nothing can be sent to it")
