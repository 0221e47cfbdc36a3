"""What the histories Temporal keeps say of one rollout: what was ordered, decided, judged, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import Client, WorkflowHistory

from benchmarks.ground import CANARY
from coalmine.records import (
    EVALUATE,
    RECALL_ROUTE,
    SHIFT,
    WRITE_LEDGER,
    Action,
    LedgerEntry,
    LedgerKey,
    LedgerWrite,
    ShiftRequest,
    Verb,
)
from tests.faults.weights import allowed

STEPS = (10.0, 50.0)
"""Weights of the steps of ``benchmarks.kills.make_spec``, in percent."""

_RESET = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
_CLOSED = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: "completed",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: "canceled",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: "terminated",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "failed",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: "timed out",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: "continued as new",
}
_ALLOWING = frozenset({"admitted", "advance_due", "override", "promote"})
"""Kinds of entries that let a weight rise, besides a look that says so and a word of people."""


@dataclass(frozen=True)
class Rise:
    """One write that was to give the canary more, as a run's history ordered it."""

    generation: int
    share: float
    decision: LedgerKey | None
    """The entry that allowed it, the latest there was; None where nothing did."""
    had_it: bool
    """The history says that the ledger had it before the write was ordered."""
    allowed: frozenset[float] = frozenset()
    """The shares that the entries since the rise before allow."""
    spent: bool = False
    """It is what allowed an earlier rise: of this one's own decision the ledger was never told."""

    @property
    def write(self) -> tuple[int, float]:
        """Its generation, and the canary's share in percent to two places."""
        return self.generation, round(self.share, 2)

    @property
    def named(self) -> str:
        """The decision, as a sentence names it."""
        return f"(entry {self.decision[1]} of {self.decision[0]})" if self.decision is not None else ""


class Told:
    """What the histories of all runs of one rollout say; the last run is the one that closed."""

    def __init__(self, histories: list[WorkflowHistory], steps: Sequence[float] = STEPS) -> None:
        self._steps = steps
        self.outcome: str | None = None
        """Of a rollout that came to its end: by its result, or where it was cancelled by the entry that closed it."""
        self.generations: set[int] = set()
        """Of every write any run ordered."""
        self.shares: dict[int, set[float]] = {}
        """What the canary was to get, in percent, by generation."""
        self.rises: list[Rise] = []
        """Writes that were to give the canary more than the one ordered before them."""
        self._share = 0.0
        self._known: set[LedgerKey] = set()
        self._deciding: dict[LedgerKey, LedgerEntry] = {}
        self._spent: set[LedgerKey] = set()
        """Decisions that allowed a rise: each allows one."""
        self.ledger: dict[LedgerKey, str] = {}
        """The kind of every entry handed to the ledger."""
        self.acknowledged: set[LedgerKey] = set()
        """Those of them that an attempt said were written."""
        self.judged: list[tuple[bytes, bytes]] = []
        """Request and answer of every evaluation."""
        self.closed = "open"
        self.recorded: str | None = None
        """The outcome in the entry by which the last run closed its record."""
        self.shown: str | None = None
        """The outcome the last run showed everybody last, though it may not have come to its end."""
        self.cancelled_before_promoted = False
        """The last run was asked to go back while it had not said yet that it is promoted."""
        self.deaf = False
        """The last run was cancelled, and went on to its end as if it had not been."""
        self.left_promoted = False
        """The last run, which wrote nothing, was made by a reset of one that had ended as promoted."""
        self.left_alone = False
        """The last run neither wrote nor learnt what the one before it left, which had said that it is promoted."""
        for history in histories:
            self._read(history)

    @property
    def promoted(self) -> bool:
        """Whether the last run said so to everybody, and took it back no more."""
        return self.shown == "promoted"

    def _read(self, history: WorkflowHistory) -> None:
        asked: dict[int, tuple[str, bytes]] = {}
        said = self.promoted
        # Its record is closed where a reset came before the workflow was: the window is over then too.
        over = said and (self.closed == "completed" or self.recorded == "promoted")
        self.left_alone, self.left_promoted = said, over
        self.recorded, self.shown, self.outcome = None, None, None
        cancelled = self.cancelled_before_promoted = self.deaf = False
        if not history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id:
            # A run after a reset has the events before it in its own history; one that was continued has not.
            self._share, self._known, self._deciding, self._spent = 0.0, set(), {}, set()
        self._deciding |= _deciding(history)
        for event in history.events:
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled = event.activity_task_scheduled_event_attributes
                name, data = scheduled.activity_type.name, scheduled.input.payloads[0].data
                asked[event.event_id] = name, data
                if name == SHIFT.name:
                    self._order(ShiftRequest.model_validate_json(data), event.event_time.ToDatetime(UTC))
                    self.generations.add(json.loads(data)["generation"])
                    self.left_alone = self.left_promoted = False
                elif name == WRITE_LEDGER.name:
                    for entry in LedgerWrite.model_validate_json(data).entries:
                        self.ledger[entry.key] = entry.kind
                        if entry.kind == "closed":
                            self.recorded = entry.data["outcome"]
            elif event.workflow_task_failed_event_attributes.cause == _RESET:
                # What came so far was copied, its writes too.
                self.left_alone, self.left_promoted = said, over
            elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                done = event.activity_task_completed_event_attributes
                name, data = asked[done.scheduled_event_id]
                if name == WRITE_LEDGER.name:
                    self._known |= {entry.key for entry in LedgerWrite.model_validate_json(data).entries}
                    self.acknowledged |= self._known
                elif name == RECALL_ROUTE.name:
                    self.left_alone = False
                elif name == EVALUATE.name:
                    self.judged.append((data, done.result.payloads[0].data))
            elif event.event_type == EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
                shown = event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
                if "CoalmineOutcome" in shown:  # Not where the SDK shows which patches were asked, and nothing else.
                    self.shown = json.loads(shown["CoalmineOutcome"].data or b"null")
                self.cancelled_before_promoted |= cancelled and self.promoted
            elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
                # Once: from here on it must come to be neither promoted nor completed.
                cancelled, self.deaf = not self.promoted, True
            elif event.event_type in _CLOSED:
                self.closed = _CLOSED[event.event_type]
                if self.closed == "completed":
                    result = event.workflow_execution_completed_event_attributes.result.payloads[0].data
                    self.outcome = json.loads(result)["outcome"]
                elif self.closed == "canceled":
                    self.outcome = self.recorded
                self.deaf &= self.closed == "completed"

    def _order(self, request: ShiftRequest, at: datetime) -> None:
        """A write was ordered: what gives the canary no more, and the way back, need no decision in the ledger."""
        self.generations.add(request.generation)
        share, before = request.weights.get(CANARY, 0.0), self._share
        self.shares.setdefault(request.generation, set()).add(share)
        self._share = share
        if share <= before or request.restoring:
            return
        allowing = [entry for entry in self._deciding.values() if entry.at <= at]
        latest = max(allowing, key=_order_of, default=None)
        key = latest.key if latest is not None else None
        since = max((_order_of(self._deciding[one]) for one in self._spent), default=None)
        fresh = [entry for entry in allowing if since is None or _order_of(entry) > since]
        may = allowed(fresh, self._steps, before)
        self.rises.append(Rise(request.generation, share, key, key in self._known, may, key in self._spent))
        if key is not None:
            self._spent.add(key)


def _order_of(entry: LedgerEntry) -> tuple[datetime, int]:
    return entry.at, entry.sequence


def _deciding(history: WorkflowHistory) -> dict[LedgerKey, LedgerEntry]:
    """The entries a run handed to its ledger that let a weight rise."""
    found: dict[LedgerKey, LedgerEntry] = {}
    for event in history.events:
        scheduled = event.activity_task_scheduled_event_attributes
        if scheduled.activity_type.name == WRITE_LEDGER.name:
            entries = LedgerWrite.model_validate_json(scheduled.input.payloads[0].data).entries
            found |= {entry.key: entry for entry in entries if _allows(entry)}
    return found


def _allows(entry: LedgerEntry) -> bool:
    match entry.kind:
        case "look":
            return entry.data.get("action") in (Action.ADVANCE, Action.PROMOTE)
        case "command":
            # An approval opens a gate, a resume ends a pause: what is due then has an entry of its own.
            return entry.data.get("verb") == Verb.PROMOTE
        case _:
            return entry.kind in _ALLOWING


async def told(client: Client, workflow_id: str, runs: list[str]) -> Told:
    """Fetch the histories of these runs, oldest first."""
    return Told([await client.get_workflow_handle(workflow_id, run_id=run).fetch_history() for run in runs])
