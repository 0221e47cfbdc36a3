"""Finding rollouts by search attributes: lists, names, and the nearest name to a wrong one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1.workflow_pb2 import WORKFLOW_EXECUTION_STATUS_PAUSED, WORKFLOW_EXECUTION_STATUS_RUNNING
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client, WorkflowExecutionStatus

from coalmine.connection import asking
from coalmine.errors import InputError, RolloutNotFound
from coalmine.executions import listed, moment
from coalmine.records import Record
from coalmine.rollout_names import RolloutName
from coalmine.ui_views import OPEN

_CALL = timedelta(seconds=10)
_ATTRIBUTES = ("Service", "Environment", "Version", "Phase", "Outcome", "Weight")
_NAMES_LOOKED_AT = 300
_GOING_ON = (WORKFLOW_EXECUTION_STATUS_RUNNING, WORKFLOW_EXECUTION_STATUS_PAUSED)


class RolloutRow(Record):
    """One rollout in a list, as its search attributes show it (no worker is asked)."""

    service: str
    environment: str
    region: str | None = None
    version: str = ""
    phase: str = ""
    outcome: str | None = None
    """Also ``cancelled``, ``terminated`` and ``failed`` for a workflow that ended without a report."""
    canary_weight: float = 0.0
    open: bool = True
    """The workflow runs; one that is promoted stays open during its rollback window."""
    paused_in_temporal: bool = False
    """Somebody paused its workflow in Temporal's own UI or CLI: it does nothing until it is unpaused there."""
    started_at: datetime | None = None
    closed_at: datetime | None = None
    workflow_id: str = ""
    run_id: str = ""


@dataclass(frozen=True)
class RolloutRef:
    """One rollout: the workflow, and its run when a certain one is meant (None: the latest)."""

    workflow_id: str
    run_id: str | None = None
    rollout_id: str = ""
    """Of the rollout that was named: the next one under the same workflow id hears nothing of what is said to it."""


async def list_rollouts(
    client: Client,
    *,
    service: str | None = None,
    environment: str | None = None,
    region: str | None = None,
    version: str | None = None,
    running: bool | None = None,
    phase: str | None = None,
    workflow_ids: Sequence[str] | None = None,
    limit: int = 50,
) -> list[RolloutRow]:
    """Rollouts, open ones first, then the latest closed; the server gives the latest started of the open ones first.

    Raises:
        InputError: a name or an id has quotes.
        TemporalUnavailable: the server does not answer, or lacks the search attributes.
    """
    clauses = ["WorkflowType = 'Canary'"]
    pairs = (("Service", service), ("Environment", environment), ("Version", version), ("Phase", phase))
    clauses += [f"Coalmine{name} = '{_plain(value)}'" for name, value in pairs if value]
    if workflow_ids is not None:
        if not workflow_ids:
            return []
        quoted = ", ".join(f"'{_plain(workflow_id)}'" for workflow_id in workflow_ids)
        clauses.append(f"WorkflowId IN ({quoted})")
    if running is not None:
        clauses.append(OPEN if running else "CloseTime IS NOT NULL")
    rows: list[RolloutRow] = []
    followers: dict[str, RolloutRow] = {}
    async with asking("list of rollouts", client.namespace, _CALL):
        async for execution in listed(client, " AND ".join(clauses), limit, _CALL):
            row = row_of(execution)
            if region is not None and row.region != region:
                continue
            # A run that continued as new is the same rollout, unless the next release took over from it.
            follower = followers.get(row.workflow_id)
            followers[row.workflow_id] = row
            continued = int(execution.status) == WorkflowExecutionStatus.CONTINUED_AS_NEW
            if continued and (row.outcome is None or (follower is not None and follower.version == row.version)):
                continue
            rows.append(row)
            if len(rows) >= limit:
                break
    return sorted(rows, key=lambda row: (not row.open, -last_moved(row)))


async def locate(client: Client, name: RolloutName) -> str:
    """The workflow id a name without an environment means.

    Raises:
        InputError: the service is in several environments or regions.
        RolloutNotFound: no rollout of that service is known; names the nearest.
    """
    if name.workflow_id is not None:
        return name.workflow_id
    rows = await list_rollouts(client, service=name.service, region=name.region)
    found = sorted({row.workflow_id for row in rows})
    if len(found) > 1:
        listed = ", ".join(found)
        raise InputError(f"'{name.service}' is in several places ({listed}): add --environment, or name one of these")
    if not found:
        raise await not_found(client, name.service)
    return found[0]


async def not_found(client: Client, wanted: str) -> RolloutNotFound:
    """The error for a name nobody has, with the nearest ones."""
    rows = await list_rollouts(client, limit=_NAMES_LOOKED_AT)
    known = {row.workflow_id for row in rows} if "/" in wanted else {row.service for row in rows}
    near = get_close_matches(wanted, sorted(known), n=3, cutoff=0.5)
    if near:
        return RolloutNotFound(f"there is no rollout '{wanted}'; did you mean {_either(near)}?")
    hint = "coalmine list shows those that are" if rows else "there are none at all in this namespace"
    return RolloutNotFound(f"there is no rollout '{wanted}'; {hint}")


def _either(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + f" or {quoted[-1]}"


def _plain(value: str) -> str:
    if "'" in value or "\\" in value:
        raise InputError(f"{value!r}: a name has no quotes")
    return value


def last_moved(row: RolloutRow) -> float:
    """When it closed, else began, as seconds since 1970; 0 where neither is known."""
    moment = row.closed_at or row.started_at
    return moment.timestamp() if moment else 0.0


def row_of(execution: WorkflowExecutionInfo) -> RolloutRow:
    """A rollout as the server lists its workflow."""
    attributes = execution.search_attributes.indexed_fields
    said = {name: _attribute(attributes, f"Coalmine{name}") for name in _ATTRIBUTES}
    workflow_id, parts = execution.execution.workflow_id, execution.execution.workflow_id.split("/")
    is_open = int(execution.status) in _GOING_ON
    ended: dict[int, str] = {
        WorkflowExecutionStatus.CANCELED: "cancelled",
        WorkflowExecutionStatus.TERMINATED: "terminated",
        WorkflowExecutionStatus.FAILED: "failed",
        WorkflowExecutionStatus.TIMED_OUT: "failed",
    }
    fallback = ended.get(int(execution.status))
    return RolloutRow(
        service=said["Service"] or (parts[2] if len(parts) > 2 else workflow_id),
        environment=said["Environment"] or (parts[1] if len(parts) > 2 else ""),
        region=parts[3] if len(parts) > 3 else None,
        version=said["Version"] or "",
        phase=(said["Phase"] or "") if is_open else "closed",
        outcome=said["Outcome"] or fallback,
        canary_weight=float(said["Weight"] or 0),
        open=is_open,
        paused_in_temporal=int(execution.status) == WORKFLOW_EXECUTION_STATUS_PAUSED,
        started_at=moment(execution, "start_time"),
        closed_at=moment(execution, "close_time"),
        workflow_id=workflow_id,
        run_id=execution.execution.run_id,
    )


def _attribute(attributes: Mapping[str, Payload], name: str) -> Any:
    """A search attribute's value: always plain JSON, whatever encrypts payloads; None when it is not set."""
    return json.loads(attributes[name].data or b"null") if name in attributes else None
