"""The one way in for every interface: start, ask, say, watch. Workflows are named by string only.

coalmine = await Coalmine.connect()
receipt = await coalmine.start(spec, by="ana@example.org")
ref = await coalmine.find("checkout", environment="production")
status = await coalmine.status(ref)
await coalmine.send(ref, Verb.APPROVE, by="ana@example.org", reason="looks fine")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError, RPCStatusCode

from coalmine import searching, starting
from coalmine.closed import ended, log_of_report, status_of_closed, status_of_report
from coalmine.connection import Settings, asking, connect_client, lacks_workflow, meaning, no_worker, settings
from coalmine.errors import InputError, RefusedError, RolloutNotFound, TemporalUnavailable
from coalmine.executions import Execution, describe, is_paused
from coalmine.fleet_calls import FleetCalls
from coalmine.following import LOOK_EVERY, follow, is_over
from coalmine.pollers import Poller, pollers
from coalmine.questions import ask
from coalmine.recorded import Recorded, recorded
from coalmine.records import (
    HOOK_TASK_QUEUE,
    SIDE_TASK_QUEUE,
    TASK_QUEUE,
    ChainTip,
    CommandInput,
    CommandReceipt,
    DecisionLog,
    Phase,
    Receipt,
    Record,
    RolloutReport,
    RolloutStatus,
    Submission,
    Verb,
    Withdrawal,
)
from coalmine.records.texts import check_writable
from coalmine.rollout_names import parse_name
from coalmine.searching import RolloutRef, RolloutRow
from coalmine.spec.canary import CanarySpec
from coalmine.telemetry.spans import traceparent
from coalmine.timeline import TimelineEntry, timeline
from coalmine.unlike import list_unlike

__all__ = ["Coalmine", "RolloutRef", "RolloutRow", "TimelineEntry", "is_over"]

START_WITHIN = timedelta(seconds=30)
"""How long a start waits for a worker, for its taking the submission, and for admission."""
ROLLOUTS_COMPARED = 10_000
"""Closed rollouts whose results are read at most, the latest first, to verify a ledger."""
CALL_WITHIN = timedelta(seconds=10)
"""How long one question or command waits for the worker."""
SERVER_WITHIN = timedelta(seconds=10)
"""How long the server may take for what needs no worker: a description, a history, a signal."""
Answer = TypeVar("Answer", bound=Record)


class Coalmine(FleetCalls):
    """A connection to the rollouts of one Temporal namespace."""

    def __init__(self, temporal: Client, found: Settings | None = None) -> None:
        """Wrap a client whose data converter is ``pydantic_data_converter``; ``found`` tells links where the UI is."""
        self.temporal = temporal
        self.settings = found

    @classmethod
    async def connect(cls, profile: str | None = None) -> Coalmine:
        """Connect by the settings of the ``temporal`` CLI, else to the local stack that is up.

        Raises:
            InputError: the profile cannot be read.
            TemporalUnavailable: no server is set, or it does not answer.
        """
        found = settings(profile)
        return cls(await connect_client(found), found)

    # ---------------------------------------------------------------------------------------- starting

    async def start(
        self,
        spec: CanarySpec,
        *,
        by: str,
        automated: bool = False,
        reason: str = "",
        advise: bool = False,
        during_freeze: bool = False,
        authors: Sequence[str] = (),
        token: str = "",
        within: timedelta = START_WITHIN,
    ) -> Receipt:
        """Start a release, attach to it when it runs already, or hear that it was promoted or may not start.

        Raises:
            RefusedError: the workflow refused the submission.
            TemporalUnavailable: no worker or no server within ``within``; nothing was started.
        """
        submission = Submission(
            spec=spec,
            by=by,
            automated=automated,
            reason=reason,
            advise=advise,
            during_freeze=during_freeze,
            authors=list(authors),
            token=token,
            trace=traceparent(),
        )
        receipt = await starting.start(self.temporal, submission, within)
        if receipt.disposition == "started" and not receipt.rollout_id:
            return await self._taken_over(receipt, within)
        return receipt

    async def _taken_over(self, receipt: Receipt, within: timedelta) -> Receipt:
        """The answer of a release that closes another's rollback window: what became of its own admission."""
        ref, latest = RolloutRef(receipt.workflow_id), receipt.model_copy(update={"run_id": ""})
        try:
            async with asyncio.timeout(within.total_seconds()):
                async for seen in self.follow(ref, every=0.2, version=receipt.version):
                    if not isinstance(seen, RolloutStatus):
                        continue
                    latest = starting.receipt_of(seen, latest)
                    if seen.phase is not Phase.ADMITTING:
                        break
        except TimeoutError:
            pass
        return latest

    # ------------------------------------------------------------------------------------------ asking

    async def find(self, name: str, environment: str | None = None, region: str | None = None) -> RolloutRef:
        """The rollout a person means: by service, workflow id or rollout id (``coalmine.rollout_names``).

        Raises:
            InputError: the name is none of the forms, or means several.
            RolloutNotFound: there is none; names the nearest.
        """
        wanted = parse_name(name, environment, region)
        workflow_id = await searching.locate(self.temporal, wanted)
        rollout_id = wanted.rollout_id()
        if rollout_id is None:
            await self._describe(RolloutRef(workflow_id))
            return RolloutRef(workflow_id)
        rows = await searching.list_rollouts(
            self.temporal, service=wanted.service, environment=wanted.environment, version=wanted.version
        )
        for row in rows:
            ref = RolloutRef(row.workflow_id, row.run_id)
            if row.workflow_id == workflow_id and (await self.status(ref)).rollout_id == rollout_id:
                return RolloutRef(workflow_id) if row.open else ref
        if any(row.workflow_id == workflow_id for row in rows):
            raise RolloutNotFound(f"there is no rollout '{rollout_id}'; coalmine list shows those that are")
        raise await searching.not_found(self.temporal, workflow_id)

    async def rollouts(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        region: str | None = None,
        running: bool | None = None,
        phase: str | None = None,
        workflow_ids: Sequence[str] | None = None,
        limit: int = 50,
    ) -> list[RolloutRow]:
        """Rollouts, open ones first, then the latest closed; needs no worker. ``workflow_ids``: these alone."""
        return await searching.list_rollouts(
            self.temporal,
            service=service,
            environment=environment,
            region=region,
            running=running,
            phase=phase,
            workflow_ids=workflow_ids,
            limit=limit,
        )

    async def unlike(self, known: Sequence[RolloutRow], limit: int = 500) -> list[RolloutRow]:
        """Open rollouts that are no longer as these rows say, and those that are in none; needs no worker."""
        return await list_unlike(self.temporal, known, limit)

    async def status(self, ref: RolloutRef) -> RolloutStatus:
        """Everything about a rollout now. A closed one answers from its report, without a worker.

        Raises:
            RolloutNotFound: there is none.
            TemporalUnavailable: it is open, and no worker answers for it, or it is paused in Temporal.
        """
        described = await self._describe(ref)
        if described.status is WorkflowExecutionStatus.COMPLETED:
            report = await self._result(described)
            if report is not None:
                return status_of_report(report, described)
        if described.paused:
            raise TemporalUnavailable(described.why_paused(self.temporal.namespace))
        pinned = RolloutRef(described.id, described.run_id)
        if described.status in (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW):
            return await self._query(pinned, "status", RolloutStatus)
        try:
            return ended(described, await self._query(pinned, "status", RolloutStatus))
        except (TemporalUnavailable, RefusedError):
            return status_of_closed(described)

    async def report(self, ref: RolloutRef) -> RolloutReport | None:
        """The final report; None while the rollout is open, or when its workflow ended without one.

        Raises:
            RolloutNotFound: there is none.
        """
        return await self._result(await self._describe(ref))

    async def ledger_tips(self, environment: str | None = None, region: str | None = None) -> dict[str, ChainTip]:
        """Where the ledger's chain of each closed rollout ended, by rollout id, as the results that are held say."""
        tips: dict[str, ChainTip] = {}
        rows = await self.rollouts(environment=environment, region=region, running=False, limit=ROLLOUTS_COMPARED)
        for row in rows:
            report = await self.report(RolloutRef(row.workflow_id, row.run_id))
            if report is not None and report.ledger_tip is not None:
                tips[report.rollout_id] = report.ledger_tip
        return tips

    async def decisions(self, ref: RolloutRef) -> DecisionLog:
        """Every decision with its numbers, and every refused input; newest last.

        Raises:
            RolloutNotFound: there is none.
            TemporalUnavailable: it is open, and no worker answers for it.
        """
        described = await self._describe(ref)
        if described.status is WorkflowExecutionStatus.COMPLETED:
            report = await self._result(described)
            if report is not None:
                return log_of_report(report)
        return await self._query(RolloutRef(described.id, described.run_id), "decisions", DecisionLog)

    async def history(self, ref: RolloutRef, everything: bool = False) -> list[TimelineEntry]:
        """The workflow's history as a timeline in words, over all its runs; needs no worker.

        ``everything`` adds timers, ledger writes and messages to people.

        Raises:
            RolloutNotFound: there is none.
        """
        described = await self._describe(ref)
        async with asking(f"history of {ref.workflow_id}", self.temporal.namespace, SERVER_WITHIN):
            return await timeline(self.temporal, described.id, described.run_id, everything)

    async def mark(self, ref: RolloutRef) -> str:
        """Text that is another one after anything happened to a rollout; needs no worker, and is cheap to ask for.

        Raises:
            RolloutNotFound: there is none.
        """
        described = await self._describe(ref)
        return f"{described.run_id} {described.status} {described.history_length} {described.paused}"

    async def recorded(self, ref: RolloutRef) -> Recorded:
        """What every look found and what was shifted when, from the workflow's history; needs no worker.

        Raises:
            RolloutNotFound: there is none.
        """
        described = await self._describe(ref)
        async with asking(f"history of {ref.workflow_id}", self.temporal.namespace, SERVER_WITHIN):
            return await recorded(self.temporal, described.id, described.run_id)

    # ------------------------------------------------------------------------------------------ saying

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
        handle = self._handle(ref)
        try:
            return CommandReceipt.model_validate(
                await handle.execute_update(
                    str(verb), command, id=once, result_type=CommandReceipt, rpc_timeout=CALL_WITHIN
                )
            )
        except WorkflowUpdateFailedError as error:
            raise RefusedError(str(getattr(error.cause, "message", error.cause))) from None
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            if verb is not Verb.ROLLBACK:
                unknown = f"{verb} was not confirmed, and may still be carried out."
                raise TemporalUnavailable(f"{unknown} {no_worker(ref.workflow_id)}") from None
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise await self._cannot_hear(ref) from None
            if is_paused(error):
                return await self._said_to_paused(ref, verb, command)
            raise meaning(error, f"{verb} to {ref.workflow_id}", self.temporal.namespace, CALL_WITHIN) from error
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
            return CommandReceipt.model_validate(
                await self._handle(ref).execute_update(
                    "withdraw", given, result_type=CommandReceipt, rpc_timeout=CALL_WITHIN
                )
            )
        except WorkflowUpdateFailedError as error:
            raise RefusedError(str(getattr(error.cause, "message", error.cause))) from None
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            raise TemporalUnavailable(f"withdraw was not taken. {no_worker(ref.workflow_id)}") from None
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise await self._cannot_hear(ref) from None
            raise meaning(error, f"withdraw to {ref.workflow_id}", self.temporal.namespace, CALL_WITHIN) from error

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
        message = message or (
            f"no worker answered within {CALL_WITHIN.total_seconds():g} s: {verb} is recorded and will be carried out "
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

    # ---------------------------------------------------------------------------------------- watching

    async def follow(
        self, ref: RolloutRef, every: float = LOOK_EVERY, version: str | None = None
    ) -> AsyncIterator[RolloutStatus | TemporalUnavailable]:
        """One rollout's status again and again, until it is over; the next rollout of the service is not followed.

        While nobody answers, the reason is yielded instead: the rollout itself is not harmed by that. With ``version``
        what is before that version's rollout is passed over: it may have to close another's rollback window first.

        Raises:
            RolloutNotFound: there is none, or it ended before ``version`` began.
        """
        async for seen in follow(self.status, self._status_of_earlier, self._is_open, ref, every, version):
            yield seen

    async def _status_of_earlier(self, seen: RolloutStatus) -> RolloutStatus:
        """The status of a rollout that is no longer its workflow's latest; its last run may be a later one."""
        try:
            return await self.status(await self.find(seen.rollout_id))
        except RolloutNotFound:
            return await self.status(RolloutRef(seen.workflow_id, seen.run_id))

    async def _is_open(self, ref: RolloutRef) -> bool:
        return (await self._describe(ref)).status is WorkflowExecutionStatus.RUNNING

    async def wait(self, ref: RolloutRef, timeout: timedelta | None = None) -> RolloutStatus:
        """Wait until a rollout has its outcome, or until ``timeout``: that is the watcher's, the rollout goes on.

        Returns:
            The latest status; ``is_over`` tells which of the two it was.

        Raises:
            RolloutNotFound: there is none.
            TemporalUnavailable: nobody answered at all until the time-out.
        """
        latest: RolloutStatus | TemporalUnavailable = TemporalUnavailable(no_worker(ref.workflow_id))
        try:
            async with asyncio.timeout(timeout.total_seconds() if timeout else None):
                async for seen in self.follow(ref):
                    if isinstance(seen, RolloutStatus) or isinstance(latest, TemporalUnavailable):
                        latest = seen
        except TimeoutError:
            pass
        if isinstance(latest, TemporalUnavailable):
            raise latest
        return latest

    # ------------------------------------------------------------------------------------- surroundings

    async def workers(self) -> list[Poller]:
        """Who polls the task queues now."""
        wanted = (
            (TASK_QUEUE, "workflows"),
            *((queue, "activities") for queue in (TASK_QUEUE, SIDE_TASK_QUEUE, HOOK_TASK_QUEUE)),
        )
        found = await asyncio.gather(*(pollers(self.temporal, queue, kind) for queue, kind in wanted))
        return [poller for group in found for poller in group]

    def ui_link(self, workflow_id: str, run_id: str | None = None) -> str | None:
        """Where the Temporal UI shows a rollout; None when nobody said where the UI is (``COALMINE_UI_URL``)."""
        if self.settings is None or not self.settings.ui:
            return None
        page = f"{self.settings.ui.rstrip('/')}/namespaces/{quote(self.temporal.namespace, safe='')}"
        page += f"/workflows/{quote(workflow_id, safe='')}"
        return f"{page}/{quote(run_id, safe='')}/timeline" if run_id else page

    # ---------------------------------------------------------------------------------------- in common

    def _handle(self, ref: RolloutRef) -> WorkflowHandle[Any, Any]:
        return self.temporal.get_workflow_handle(ref.workflow_id, run_id=ref.run_id)

    async def _describe(self, ref: RolloutRef) -> Execution:
        try:
            return await describe(self.temporal, ref.workflow_id, ref.run_id, SERVER_WITHIN)
        except RPCError as error:
            malformed = error.status is RPCStatusCode.INVALID_ARGUMENT and "amespace" not in str(error)
            if lacks_workflow(error) or malformed:
                raise await searching.not_found(self.temporal, ref.workflow_id) from None
            raise meaning(error, f"workflow {ref.workflow_id}", self.temporal.namespace, SERVER_WITHIN) from error

    async def _query(self, ref: RolloutRef, name: str, answer: type[Answer]) -> Answer:
        return await ask(self.temporal, self._handle(ref), name, answer, CALL_WITHIN)

    async def _result(self, described: Execution) -> RolloutReport | None:
        if described.status is not WorkflowExecutionStatus.COMPLETED:
            return None
        handle = self.temporal.get_workflow_handle(described.id, run_id=described.run_id, result_type=RolloutReport)
        try:
            async with asking(f"workflow {described.id}", self.temporal.namespace, SERVER_WITHIN):
                report: RolloutReport = await handle.result(follow_runs=False, rpc_timeout=SERVER_WITHIN)
                return report
        except WorkflowFailureError:
            return None
