"""What Temporal knows of rollouts' runs: which there are, and what a history's beginning says of the route.

A terminated run answers no query where no worker of its build serves, but its history is there: the input, the route as
it was read, the first write.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from activities.run_facts import FactsReading, submitted
from coalmine.connection import asking, lacks_workflow
from coalmine.errors import CoalmineError, HistoryUnreadable, InputError
from coalmine.executions import PAGE, Execution, describe, execution_of, listed
from coalmine.ownership import LastTasks, Run, RunFacts, newest_first
from coalmine.records import (
    RETIRE,
    RUN_HOOK,
    HookRequest,
    Phase,
)
from coalmine.search_attributes import OUTCOME, PHASE, PROBLEMS

MOST_RUNS = 2_000
"""Runs of one environment that are listed at most: those that run, then the latest closed."""
KEPT_FACTS = 2_000
"""Closed runs whose facts are remembered: a closed history does not change."""
LONG_ADMISSION = timedelta(minutes=1)
"""A rollout that is not admitted by then waits, for a slot or a hook, and has not taken its route."""
_BEGINNING = 50
"""Events within which a rollout was submitted."""
_CALL = timedelta(seconds=10)
_PAGE = 100
_RESETTER = "history-resetter"
"""Who terminates the run that a reset takes over from, as the server calls itself."""


class RolloutRuns:
    """Reads rollouts' runs; remembers what closed ones say."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._facts: OrderedDict[str, RunFacts | None] = OrderedDict()
        self._advising: OrderedDict[str, bool] = OrderedDict()

    async def listed(self, environment: str | None) -> tuple[list[Run], bool]:
        """Every run of an environment (None: of all), as visibility has it, and whether there were too many.

        Raises:
            TemporalUnavailable: the server does not answer, or lacks the search attributes.
            InputError: the environment's name cannot be asked for.
        """
        query = "WorkflowType = 'Canary'"
        if environment is not None:
            query += f" AND CoalmineEnvironment = {_quoted('environment', environment)}"
        return await self._found(query)

    async def of_workflow(self, workflow_id: str) -> list[Run]:
        """The runs of one id, the latest first, as visibility has it.

        Raises:
            TemporalUnavailable: the server does not answer.
            InputError: the id cannot be asked for.
        """
        runs, _ = await self._found(f"WorkflowId = {_quoted('workflow id', workflow_id)}")
        return newest_first(runs).get(workflow_id, [])

    async def _found(self, query: str) -> tuple[list[Run], bool]:
        runs: list[Run] = []
        async with asking("list of rollouts", self._client.namespace, _CALL):
            async for execution in listed(self._client, query, PAGE, _CALL):
                if len(runs) >= MOST_RUNS:
                    return runs, True
                runs.append(_run(execution_of(execution)))
        return runs, False

    async def described(self, workflow_id: str, run_id: str | None) -> Run | None:
        """One run as it is now, or the latest of its id; None when it is gone.

        Raises:
            TemporalUnavailable: the server does not answer.
        """
        async with asking(f"workflow {workflow_id}", self._client.namespace, _CALL):
            try:
                return _run(await describe(self._client, workflow_id, run_id, _CALL))
            except RPCError as error:
                if lacks_workflow(error):
                    return None
                raise

    async def reset_from(self, workflow_id: str, run_id: str) -> str | None:
        """The run id of that which a reset made this run of; None when no reset made it, or it is gone.

        Raises:
            TemporalUnavailable: the server does not answer.
        """
        base: str | None = None
        for event in await self._events(workflow_id, run_id):
            failed = event.workflow_task_failed_event_attributes
            if failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW:
                # The last one: events before it were copied, with the resets among them.
                base = failed.base_run_id
        return base

    async def was_ended_by_reset(self, run: Run) -> bool:
        """Whether a reset, of this run or of an earlier one under its id, terminated it.

        Raises:
            TemporalUnavailable: the server does not answer.
        """
        events = await self._events(run.workflow_id, run.run_id)
        return bool(events) and events[-1].workflow_execution_terminated_event_attributes.identity == _RESETTER

    async def was_reset_in_window(self, run: Run) -> bool:
        """Whether a reset ended a run that showed its rollback window last, with the old version still there.

        Raises:
            TemporalUnavailable: the server does not answer.
            PayloadUnreadable: its payloads are encrypted with a key that is not at hand.
            HistoryUnreadable: it called a hook in words that this build cannot read.
        """
        by_reset = False
        for event in await self._events(run.workflow_id, run.run_id):
            by_reset = event.workflow_execution_terminated_event_attributes.identity == _RESETTER
            called = event.activity_task_scheduled_event_attributes
            if called.activity_type.name != RUN_HOOK.name:
                continue
            try:
                (given,) = await self._client.data_converter.decode(called.input.payloads, [HookRequest])
            except CoalmineError:
                raise
            except Exception as error:
                raise _unreadable(run, f"event {event.event_id}", error) from error
            if given.hook == RETIRE:
                # The window was over, and the old version may be gone by now.
                return False
        return by_reset

    async def last_tasks(self, run: Run) -> LastTasks:
        """Who did the last task of a run that was done, and how the first one after it failed.

        Raises:
            TemporalUnavailable: the server does not answer.
        """
        last = LastTasks()
        for event in await self._events(run.workflow_id, run.run_id):
            if event.HasField("workflow_task_completed_event_attributes"):
                done = event.workflow_task_completed_event_attributes
                last = LastTasks(build=done.deployment_version.build_id or done.worker_version.build_id)
            elif event.HasField("workflow_task_failed_event_attributes"):
                failed = event.workflow_task_failed_event_attributes
                last = replace(last, failure=await self._message(failed.failure), worker=failed.identity)
        return last

    async def _message(self, failure: Failure) -> str:
        """Of a failed task: with encryption on, its words are where the codec keeps them."""
        if not failure.HasField("encoded_attributes"):
            return failure.message
        try:
            return str(await self._client.data_converter.decode_failure(failure))
        except Exception:
            # Without the key it is told that it failed, not why.
            return failure.message

    async def _events(self, workflow_id: str, run_id: str) -> list[HistoryEvent]:
        """All of a run's history; nothing when it is gone."""
        handle = self._client.get_workflow_handle(workflow_id, run_id=run_id)
        async with asking(f"history of {workflow_id}", self._client.namespace, _CALL):
            try:
                return [event async for event in handle.fetch_history_events(page_size=PAGE, rpc_timeout=_CALL)]
            except RPCError as error:
                if not lacks_workflow(error):
                    raise
        return []

    async def is_live(self, workflow_id: str) -> bool:
        """Whether a rollout runs under this id now. Visibility lags a little behind; this does not.

        Raises:
            TemporalUnavailable: the server does not answer.
        """
        async with asking(f"workflow {workflow_id}", self._client.namespace, _CALL):
            try:
                described = await describe(self._client, workflow_id, None, _CALL)
            except RPCError as error:
                if lacks_workflow(error):
                    return False
                raise
        return described.status is WorkflowExecutionStatus.RUNNING

    async def owns(self, run: Run) -> bool:
        """Whether a run has its route in hand: it is open, was admitted or is being so, and shifts traffic.

        Raises:
            TemporalUnavailable: the server does not answer.
        """
        if not run.open:
            return False
        if run.phase == Phase.ADMITTING and datetime.now(UTC) - run.started_at > LONG_ADMISSION:
            return False
        known = self._advising.get(run.run_id)
        if known is not None:
            return not known
        advises = await self._advises(run)
        if advises is not None:
            self._advising[run.run_id] = advises
            if len(self._advising) > KEPT_FACTS:
                self._advising.popitem(last=False)
        # One that may have its route in hand is left alone.
        return not advises

    async def _advises(self, run: Run) -> bool | None:
        """Whether it was submitted to judge and report only.

        Returns:
            None where that cannot be read, or nothing was submitted yet: the next look may know.
        """
        handle = self._client.get_workflow_handle(run.workflow_id, run_id=run.run_id)
        async with asking(f"history of {run.workflow_id}", self._client.namespace, _CALL):
            try:
                async for event in handle.fetch_history_events(page_size=_BEGINNING, rpc_timeout=_CALL):
                    submission = await submitted(event, self._client.data_converter)
                    if submission is not None:
                        return submission.advise
                    if event.event_id >= _BEGINNING:
                        break
            except RPCError as error:
                if not lacks_workflow(error):
                    raise
            except Exception:
                return None
        return None

    async def facts(self, run: Run) -> RunFacts | None:
        """What a run's history says, now where it is open; None when it has no release (yet), or is gone.

        Raises:
            TemporalUnavailable: the server does not answer.
            PayloadUnreadable: its payloads are encrypted with a key that is not at hand.
            HistoryUnreadable: an event of it holds what this build cannot read.
        """
        if run.open:
            return await self._read(run)
        if run.run_id not in self._facts:
            self._facts[run.run_id] = await self._read(run)
            if len(self._facts) > KEPT_FACTS:
                self._facts.popitem(last=False)
        return self._facts[run.run_id]

    async def _read(self, run: Run) -> RunFacts | None:
        handle = self._client.get_workflow_handle(run.workflow_id, run_id=run.run_id)
        reading = FactsReading(self._client.data_converter, run.run_id)
        async with asking(f"history of {run.workflow_id}", self._client.namespace, _CALL):
            try:
                async for event in handle.fetch_history_events(page_size=_PAGE, rpc_timeout=_CALL):
                    if await reading.take(event):
                        break
            except RPCError as error:
                if not lacks_workflow(error):
                    raise
            except CoalmineError:
                raise
            except Exception as error:
                # Whatever reading fails with: a route that silently goes unwatched is worse than one that is named.
                raise _unreadable(run, f"event {reading.event}", error) from error
        if reading.bad_input is not None and reading.wrote:
            raise _unreadable(run, "its input", reading.bad_input)
        return reading.facts


def _quoted(what: str, name: str) -> str:
    if "'" in name or "\\" in name:
        raise InputError(f"{what}: {name!r}: a name has no quotes")
    return f"'{name}'"


def _unreadable(run: Run, what: str, error: Exception) -> HistoryUnreadable:
    first = (str(error).splitlines() or [""])[0]
    return HistoryUnreadable(
        f"history of {run.workflow_id} (run {run.run_id}): {what} cannot be read "
        f"({type(error).__name__}: {first:.120}); "
        "look with the build that wrote it, or put the route right by hand and delete the run"
    )


def _run(execution: Execution) -> Run:
    status = execution.status
    return Run(
        workflow_id=execution.id,
        run_id=execution.run_id,
        open=status is WorkflowExecutionStatus.RUNNING,
        ended=status.name.lower() if status is not None else "",
        outcome=execution.typed_search_attributes.get(OUTCOME) or "",
        phase=execution.typed_search_attributes.get(PHASE) or "",
        problems=list(execution.typed_search_attributes.get(PROBLEMS) or ()),
        started_at=execution.start_time,
        closed_at=execution.close_time,
    )
