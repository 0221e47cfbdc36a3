"""A workflow's history as a timeline in words: who said what, what was shifted, what each look found.

Read from Temporal itself, so it is the record (I4), and needs no worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.service import RPCError

from coalmine.connection import lacks_workflow
from coalmine.records import Record

_QUIET = {"write_ledger", "archive_history", "notify", "ask_fleet"}
"""Activities people rarely want to read about."""

MISSING = (
    "what came before is missing: Temporal keeps the history of earlier runs no more (the namespace's "
    "retention); where the ledger keeps copies, coalmine history --ledger reads them"
)


class TimelineEntry(Record):
    """One thing that happened."""

    at: datetime
    kind: str
    """``started`` ``submitted`` ``command`` ``activity`` ``timer`` ``phase`` ``continued`` ``closed`` ``signal``
    ``missing``"""
    text: str
    by: str = ""
    attempt: int = 1
    """How often an activity was tried."""
    seconds: float | None = None
    """How long an activity or a timer took."""
    failed: bool = False
    run_id: str = ""
    event_id: int = 0


async def timeline(client: Client, workflow_id: str, run_id: str, everything: bool = False) -> list[TimelineEntry]:
    """Every run of one rollout, oldest first, up to the given run."""
    entries: list[TimelineEntry] = []
    wanted: str | None = run_id
    while wanted:
        reader = _Reader(client.data_converter, wanted, everything)
        handle = client.get_workflow_handle(workflow_id, run_id=wanted)
        try:
            async for event in handle.fetch_history_events():
                await reader.take(event)
        except RPCError as error:
            if not entries or not lacks_workflow(error):
                raise
            gone = TimelineEntry(at=entries[0].at, kind="missing", text=MISSING, run_id=wanted)
            return [gone, *entries]
        entries = reader.entries + entries
        # A run that carries no state is another rollout: the previous one of this service ends there.
        wanted = reader.continued_from if reader.carried else None
    return entries


async def timeline_of(
    runs: Sequence[tuple[str, WorkflowHistory]], converter: DataConverter, everything: bool = False
) -> list[TimelineEntry]:
    """The same of histories that were kept, by run id, oldest first."""
    entries: list[TimelineEntry] = []
    for run_id, history in runs:
        reader = _Reader(converter, run_id, everything)
        for event in history.events:
            await reader.take(event)
        entries += reader.entries
    return entries


class _Reader:
    """Turns the events of one run into entries."""

    def __init__(self, converter: DataConverter, run_id: str, everything: bool) -> None:
        self.entries: list[TimelineEntry] = []
        self.continued_from: str | None = None
        self.carried = False
        self._converter = converter
        self._run_id = run_id
        self._submission: dict[str, Any] = {}
        """Of the input: ``coalmine start`` sends it beside, too."""
        self._everything = everything
        self._scheduled: dict[int, tuple[str, str, datetime]] = {}
        self._attempts: dict[int, int] = {}
        self._timers: dict[int, tuple[str, datetime]] = {}

    async def take(self, event: HistoryEvent) -> None:
        """Read one event."""
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                await self._started(event)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
                request = event.workflow_execution_update_accepted_event_attributes.accepted_request
                # One that a reset has heard again was told where it came.
                if request.HasField("input"):
                    await self._said(event, request.input.name, request.input.args)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
                asked = event.workflow_execution_update_admitted_event_attributes.request.input
                await self._said(event, asked.name, asked.args)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                signal = event.workflow_execution_signaled_event_attributes
                await self._said(event, signal.signal_name, signal.input, signalled=True)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                name = event.activity_task_scheduled_event_attributes.activity_type.name
                said = await self._summary(event)
                self._scheduled[event.event_id] = (name, said or name, _moment(event.event_time))
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                started = event.activity_task_started_event_attributes
                self._attempts[started.scheduled_event_id] = started.attempt
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                done = event.activity_task_completed_event_attributes
                found = await self._values(done.result)
                self._activity(event, done.scheduled_event_id, _result_text(found[0] if found else None))
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                failed = event.activity_task_failed_event_attributes
                self._activity(event, failed.scheduled_event_id, await self._why(failed.failure), failed=True)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
                late = event.activity_task_timed_out_event_attributes
                self._activity(event, late.scheduled_event_id, await self._why(late.failure), failed=True)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
                stopped = event.activity_task_canceled_event_attributes
                self._activity(event, stopped.scheduled_event_id, "stopped: something more urgent came")
            case EventType.EVENT_TYPE_TIMER_STARTED:
                self._timers[event.event_id] = (await self._summary(event), _moment(event.event_time))
            case EventType.EVENT_TYPE_TIMER_FIRED:
                self._timer(event, event.timer_fired_event_attributes.started_event_id)
            case EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
                await self._phase(event)
            case _:
                await self._ending(event)

    async def _started(self, event: HistoryEvent) -> None:
        started = event.workflow_execution_started_event_attributes
        self.continued_from = started.continued_execution_run_id or None
        given = await self._values(started.input)
        start = given[0] if given and isinstance(given[0], dict) else {}
        self.carried = start.get("carried") is not None
        if self.carried:
            self._add(event, "continued", "the history grew long: goes on in a new run")
            return
        self._add(event, "started", await self._summary(event) or "the workflow was started")
        submission = start.get("submission")
        if isinstance(submission, dict):
            self._submission = submission
            self._submitted(event, submission)

    async def _said(self, event: HistoryEvent, name: str, args: Payloads, signalled: bool = False) -> None:
        try:
            given = await self._values(args)
        except Exception:
            given = []
        said = given[0] if given and isinstance(given[0], dict) else {}
        if name == "submit":
            if said != self._submission:
                self._submitted(event, said)
            return
        if name == "fleet_answer":
            if self._everything:
                self._add(event, "signal", f"the fleet answers: rollout number {said.get('number')}")
            return
        by, reason = str(said.get("by") or ""), str(said.get("reason") or "")
        extra = "".join(f" {key} {said[key]}" for key in ("gate", "for") if said.get(key))
        way = " (signal)" if signalled else ""
        self._add(event, "command", f"{name}{extra}{way}{': ' + reason if reason else ''}", by=by)

    def _submitted(self, event: HistoryEvent, submission: dict[str, Any]) -> None:
        spec = submission.get("spec") or {}
        arms = spec.get("arms") or {}
        versions = [str((arms.get(arm) or {}).get("version", "?")) for arm in ("baseline", "canary")]
        how = " (automated)" if submission.get("automated") else ""
        advice = ", advice only" if submission.get("advise") else ""
        reason = f": {submission['reason']}" if submission.get("reason") else ""
        text = f"submitted {spec.get('service', '?')} {' → '.join(versions)}{how}{advice}{reason}"
        self._add(event, "submitted", text, by=str(submission.get("by") or ""))

    def _activity(self, event: HistoryEvent, scheduled: int, result: str, failed: bool = False) -> None:
        name, said, began = self._scheduled.get(scheduled, ("", "an activity", _moment(event.event_time)))
        if name in _QUIET and not self._everything and not failed:
            return
        attempt = self._attempts.get(scheduled, 1)
        self._add(
            event,
            "activity",
            f"{said}: {result}" if result else said,
            attempt=attempt,
            seconds=(_moment(event.event_time) - began).total_seconds(),
            failed=failed,
        )

    def _timer(self, event: HistoryEvent, started: int) -> None:
        said, began = self._timers.get(started, ("", _moment(event.event_time)))
        if self._everything:
            seconds = (_moment(event.event_time) - began).total_seconds()
            self._add(event, "timer", said or "a timer fired", seconds=seconds)

    async def _phase(self, event: HistoryEvent) -> None:
        fields = event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
        said = {name: _plain(payload) for name, payload in fields.items()}
        phase = said.get("CoalminePhase")
        if phase:
            outcome = said.get("CoalmineOutcome")
            weight = said.get("CoalmineWeight")
            self._add(
                event, "phase", f"{phase}{f' at {weight} %' if weight is not None else ''}"
                f"{f' ({outcome})' if outcome else ''}",
            )  # fmt: skip

    async def _ending(self, event: HistoryEvent) -> None:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
                result = await self._values(event.workflow_execution_completed_event_attributes.result)
                report = result[0] if result and isinstance(result[0], dict) else {}
                outcome = report.get("outcome") or (f"advice: {report['advice']}" if report.get("advice") else "ended")
                self._add(event, "closed", f"{outcome}: {report.get('reason', '')}".rstrip(": "))
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
                failure = event.workflow_execution_failed_event_attributes.failure
                self._add(event, "closed", f"failed: {await self._why(failure)}", failed=True)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
                request = event.workflow_execution_cancel_requested_event_attributes
                self._add(
                    event, "command", f"cancel{': ' + request.cause if request.cause else ''}", by=request.identity
                )
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
                self._add(event, "closed", "cancelled")
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
                ended = event.workflow_execution_terminated_event_attributes
                self._add(event, "closed", f"terminated: {ended.reason}".rstrip(": "), by=ended.identity, failed=True)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
                self._add(event, "closed", "timed out", failed=True)
            case EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                failure = event.workflow_task_failed_event_attributes.failure
                if not failure.message:
                    return  # The server closed or reset it; what follows says why.
                self._add(event, "activity", f"a workflow task failed: {await self._why(failure)}", failed=True)
            case _:
                return

    def _add(
        self,
        event: HistoryEvent,
        kind: str,
        text: str,
        *,
        by: str = "",
        attempt: int = 1,
        seconds: float | None = None,
        failed: bool = False,
    ) -> None:
        self.entries.append(
            TimelineEntry(
                at=_moment(event.event_time),
                kind=kind,
                text=text,
                by=by,
                attempt=attempt,
                seconds=seconds,
                failed=failed,
                run_id=self._run_id,
                event_id=event.event_id,
            )
        )

    async def _summary(self, event: HistoryEvent) -> str:
        if not event.HasField("user_metadata") or not event.user_metadata.HasField("summary"):
            return ""
        found = await self._converter.decode([event.user_metadata.summary])
        return str(found[0]) if found else ""

    async def _why(self, failure: Failure) -> str:
        while failure.HasField("cause"):
            failure = failure.cause
        message = failure.message
        # With encryption the message is a payload, and the field says so only.
        if failure.HasField("encoded_attributes"):
            said = await self._converter.decode([failure.encoded_attributes])
            message = str(said[0].get("message") or "") if said and isinstance(said[0], dict) else message
        return message or "it did not answer in time"

    async def _values(self, payloads: Payloads) -> list[Any]:
        return await self._converter.decode(payloads.payloads) if payloads.payloads else []


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


def _plain(payload: Payload) -> str | None:
    """A search attribute's value: JSON, never encoded by a codec; an unset one is empty or null."""
    text = payload.data.decode(errors="replace").strip().strip('"[]')
    return text if text and text != "null" else None


def _result_text(result: Any) -> str:
    """What an activity answered, in a few words."""
    if not isinstance(result, dict):
        return ""
    if "finding" in result:
        return f"{result['finding']}; {result.get('reason', '')}"
    if "sentence" in result:
        return str(result["sentence"])
    if "weights" in result:
        shares = ", ".join(f"{name} {float(weight):g} %" for name, weight in sorted(result["weights"].items()))
        return f"{shares} (generation {result.get('generation', '?')})"
    if "metrics" in result and isinstance(result["metrics"], list):
        return "; ".join(_counted(metric) for metric in result["metrics"])
    if "checks" in result and isinstance(result["checks"], list):
        return _checked(result["checks"])
    if "channels" in result:
        return f"{result.get('looks', 0)} earlier looks"
    return str(result.get("detail") or "")


def _counted(metric: dict[str, Any]) -> str:
    if metric.get("status") == "no_data":
        return f"{metric.get('metric')}: no data ({metric.get('reason', '')})"
    arms = [(name, metric.get(name)) for name in ("baseline", "canary")]
    counts = [f"{name} {arm['total']:,}" for name, arm in arms if isinstance(arm, dict)]
    return f"{metric.get('metric')}: {' / '.join(counts)} requests"


def _checked(checks: Sequence[dict[str, Any]]) -> str:
    wrong = [f"{check.get('name')}: {check.get('reason')}" for check in checks if not check.get("ok")]
    return "; ".join(wrong) if wrong else f"{len(checks)} checks passed"
