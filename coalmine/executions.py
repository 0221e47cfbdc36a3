"""What a Temporal server says of a workflow, read as it came: the SDK's own types refuse a status they do not know.

PAUSED (``temporal workflow pause``, or the UI's button) is one: describing, listing or asking such a workflow by the
SDK raises ``ValueError``. It is not over, so it counts as running here, and says apart that it is paused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1.workflow_pb2 import WORKFLOW_EXECUTION_STATUS_PAUSED
from temporalio.api.workflow.v1 import WorkflowExecutionInfo, WorkflowExecutionPauseInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, ListWorkflowExecutionsRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import TypedSearchAttributes
from temporalio.converter import decode_typed_search_attributes
from temporalio.service import RPCError, RPCStatusCode

PAGE = 1_000
"""Rows the server is asked for at once: what it gives at most."""


@dataclass(frozen=True)
class Execution:
    """One run of a workflow as the server has it; ``status`` of a paused one is RUNNING."""

    id: str
    run_id: str
    status: WorkflowExecutionStatus | None
    history_length: int
    typed_search_attributes: TypedSearchAttributes
    start_time: datetime | None = None
    close_time: datetime | None = None
    paused: bool = False
    paused_by: str = ""
    paused_because: str = ""

    def why_paused(self, namespace: str) -> str:
        """The sentence for people: who paused it, what that means, and the command that ends it."""
        who = f" by {self.paused_by}" if self.paused_by else ""
        why = f" ({self.paused_because})" if self.paused_because else ""
        return _paused(f"{self.id} is paused in Temporal{who}{why}", self.id, namespace)


async def describe(client: Client, workflow_id: str, run_id: str | None, within: timedelta) -> Execution:
    """The latest run of a workflow, or that one.

    Raises:
        RPCError: as the server answered; NOT_FOUND when there is none.
    """
    answer = await client.workflow_service.describe_workflow_execution(
        DescribeWorkflowExecutionRequest(
            namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id or "")
        ),
        retry=True,
        timeout=within,
    )
    return execution_of(answer.workflow_execution_info, answer.workflow_extended_info.pause_info)


async def listed(client: Client, query: str, first: int, within: timedelta) -> AsyncIterator[WorkflowExecutionInfo]:
    """What the server lists, undecoded: of thousands a second, few attributes are read.

    ``first`` rows are asked for at first; whoever passes some over goes on in whole pages.

    Raises:
        RPCError: as the server answered.
    """
    token, size = b"", min(max(first, 1), PAGE)
    while True:
        request = ListWorkflowExecutionsRequest(
            namespace=client.namespace, query=query, page_size=size, next_page_token=token
        )
        answer = await client.workflow_service.list_workflow_executions(request, retry=True, timeout=within)
        for execution in answer.executions:
            yield execution
        token, size = answer.next_page_token, PAGE
        if not token:
            return


def execution_of(info: WorkflowExecutionInfo, pause: WorkflowExecutionPauseInfo | None = None) -> Execution:
    """The server's answer in our words; ``pause`` is told by a description only."""
    paused = int(info.status) == WORKFLOW_EXECUTION_STATUS_PAUSED
    said = WorkflowExecutionStatus.RUNNING if paused else info.status
    return Execution(
        id=info.execution.workflow_id,
        run_id=info.execution.run_id,
        status=WorkflowExecutionStatus(said) if said else None,
        history_length=info.history_length,
        typed_search_attributes=decode_typed_search_attributes(info.search_attributes),
        start_time=moment(info, "start_time"),
        close_time=moment(info, "close_time"),
        paused=paused,
        paused_by=pause.identity if pause is not None else "",
        paused_because=pause.reason if pause is not None else "",
    )


def moment(info: WorkflowExecutionInfo, field: str) -> datetime | None:
    """One of its times, in UTC; None when it is not set."""
    stamp: Timestamp = getattr(info, field)
    return stamp.ToDatetime(tzinfo=UTC) if info.HasField(field) else None  # type: ignore[arg-type]


def is_paused(error: BaseException) -> bool:
    """Whether Temporal answered so because the workflow is paused: it refuses updates, and rejects queries.

    A rejected query's status is what the SDK cannot read.
    """
    if isinstance(error, RPCError):
        return error.status is RPCStatusCode.FAILED_PRECONDITION and "Workflow is paused" in str(error)
    return isinstance(error, ValueError) and "WorkflowExecutionStatus" in str(error)


def is_task_lost(error: RPCError) -> bool:
    """Whether an update was given up with the workflow task that carried it, and was not taken.

    A workflow that goes on as a new run just then loses the task to the update, and a worker's error fails it.
    """
    return "unexpected workflow task failure" in str(error)


def paused_sentence(workflow_id: str, namespace: str) -> str:
    """The sentence of ``Execution.why_paused`` where nobody knows who paused it."""
    return _paused(f"{workflow_id} is paused in Temporal", workflow_id, namespace)


def _paused(head: str, workflow_id: str, namespace: str) -> str:
    return (
        f"{head}: it looks at nothing, moves no traffic and rolls nothing back until somebody runs: "
        f"temporal workflow unpause --namespace {namespace} --workflow-id {workflow_id}"
    )
