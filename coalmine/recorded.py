"""What every look of a rollout found, and what was shifted when, read from Temporal's own history.

It is the record itself (I4): it needs neither a worker nor a ledger, and no look is missing from it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError

from coalmine.connection import lacks_workflow
from coalmine.records import EVALUATE, READ_ROUTE, SHIFT, Evaluation, MetricVerdict, Moment, Record, RouteState, Weights


class Judgement(Record):
    """One look's verdicts, without the evidence behind them."""

    look: int
    at: datetime
    verdicts: list[MetricVerdict] = []


class Shift(Record):
    """Weights by backend from a moment on, as every proxy showed them."""

    at: datetime
    weights: Weights


class Recorded(Record):
    """A rollout over time."""

    looks: list[Judgement] = []
    shifts: list[Shift] = []
    snapshot: Weights = {}
    """The route as it was before the first shift; empty when that is not known."""
    since: Moment | None = None
    """When the first run began whose history Temporal still keeps; None: none is missing."""

    @property
    def missing(self) -> str:
        """What is not here, as people read it; empty when nothing is."""
        if self.since is None:
            return ""
        return (
            f"nothing is known from before {self.since:%Y-%m-%d %H:%M} UTC: Temporal keeps the history of earlier runs "
            "no more (the namespace's retention)"
        )

    def shares(self) -> list[tuple[datetime, float]]:
        """The canary's share in percent from each shift on: all that is not on the snapshot's main backend."""
        main = max(self.snapshot, key=lambda name: self.snapshot[name], default=None)
        return [
            (shift.at, sum(weight for name, weight in shift.weights.items() if name != main)) for shift in self.shifts
        ]


_LOOK = re.compile(r"look (\d+) ")
_ANSWERS: dict[str, type[Record]] = {EVALUATE.name: Evaluation, SHIFT.name: RouteState, READ_ROUTE.name: RouteState}


@dataclass
class _Run:
    """What one run's history holds."""

    began: datetime | None = None
    earlier: str | None = None
    """The run this one carries on; None where the rollout began: a run without a state is another rollout."""
    carried: dict[str, Any] = field(default_factory=dict)
    """The state it carries on."""
    found: Recorded = field(default_factory=Recorded)


async def recorded(client: Client, workflow_id: str, run_id: str) -> Recorded:
    """One rollout up to the given run, over all its runs; what cannot be read is left out.

    Raises:
        RPCError: the given run cannot be read. An earlier one that Temporal keeps no more is what ``since`` tells.
    """
    run = await _read(client, workflow_id, run_id)
    found = run.found
    while run.earlier:
        later = run
        try:
            run = await _read(client, workflow_id, run.earlier)
        except RPCError as error:
            if not lacks_workflow(error):
                raise
            return _goes_on(later, found)
        found = Recorded(
            looks=run.found.looks + found.looks,
            shifts=run.found.shifts + found.shifts,
            # What a later run reads back is not what was there before the first shift.
            snapshot=run.found.snapshot or found.snapshot,
        )
    return found


async def _read(client: Client, workflow_id: str, run_id: str) -> _Run:
    run = _Run()
    scheduled: dict[int, tuple[str, int]] = {}
    async for event in client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history_events():
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                await _began(client, event, run)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                name = event.activity_task_scheduled_event_attributes.activity_type.name
                if name in _ANSWERS:
                    scheduled[event.event_id] = name, await _look(client, event)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                await _take(client, event, scheduled, run.found)
            case _:
                pass
    return run


async def _began(client: Client, event: HistoryEvent, run: _Run) -> None:
    started = event.workflow_execution_started_event_attributes
    given: Sequence[Any] = await client.data_converter.decode(started.input.payloads) if started.input.payloads else []
    carried = given[0].get("carried") if given and isinstance(given[0], dict) else None
    run.began = event.event_time.ToDatetime(tzinfo=UTC)
    if isinstance(carried, dict):
        run.carried, run.earlier = carried, started.continued_execution_run_id or None


def _goes_on(first: _Run, found: Recorded) -> Recorded:
    """What is left from ``first`` on: the state it carries knows the traffic it began with, and what was before all."""
    snapshot = (first.carried.get("snapshot") or {}).get("weights") or found.snapshot
    weights = first.carried.get("weights")
    assert first.began is not None
    begins = [Shift(at=first.began, weights=weights)] if weights else []
    return Recorded(looks=found.looks, shifts=begins + found.shifts, snapshot=snapshot, since=first.began)


async def _look(client: Client, event: HistoryEvent) -> int:
    """The number in ``look 7 at 10 %: evaluate``; the evidence does not know it, which begins anew with the bake."""
    if not event.HasField("user_metadata") or not event.user_metadata.HasField("summary"):
        return 0
    found = await client.data_converter.decode([event.user_metadata.summary])
    said = _LOOK.match(str(found[0])) if found else None
    return int(said[1]) if said is not None else 0


async def _take(client: Client, event: HistoryEvent, scheduled: dict[int, tuple[str, int]], run: Recorded) -> None:
    done = event.activity_task_completed_event_attributes
    name, look = scheduled.get(done.scheduled_event_id, ("", 0))
    if not name or not done.result.payloads:
        return
    [said] = await client.data_converter.decode(done.result.payloads[:1], [_ANSWERS[name]])
    at = event.event_time.ToDatetime(tzinfo=UTC)
    if isinstance(said, Evaluation):
        run.looks.append(Judgement(look=look or len(run.looks) + 1, at=at, verdicts=said.verdicts))
    elif isinstance(said, RouteState) and name == SHIFT.name:
        run.shifts.append(Shift(at=at, weights=said.weights))
    elif isinstance(said, RouteState) and not run.snapshot and not run.shifts:
        run.snapshot = said.weights
