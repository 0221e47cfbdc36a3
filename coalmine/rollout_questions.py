"""Asking one rollout what it is, decided and did: from its worker, its result, or its history."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from coalmine import searching
from coalmine.closed import ended, log_of_report, status_of_closed, status_of_report
from coalmine.connection import asking, lacks_workflow, meaning
from coalmine.errors import RefusedError, TemporalUnavailable
from coalmine.executions import Execution, describe
from coalmine.questions import ask
from coalmine.recorded import Recorded, recorded
from coalmine.records import DecisionLog, Record, RolloutReport, RolloutStatus
from coalmine.searching import RolloutRef
from coalmine.timeline import TimelineEntry, timeline

CALL_WITHIN = timedelta(seconds=10)
"""How long one question or command waits for the worker."""
SERVER_WITHIN = timedelta(seconds=10)
"""How long the server may take for what needs no worker: a description, a history, a signal."""
Answer = TypeVar("Answer", bound=Record)


class RolloutQuestions:
    """``Coalmine`` inherits it."""

    temporal: Client

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
