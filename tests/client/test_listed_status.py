"""Lists by search attributes: what the server may say of a workflow that the SDK's own types do not know."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1.workflow_pb2 import (
    WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW,
    WORKFLOW_EXECUTION_STATUS_PAUSED,
    WORKFLOW_EXECUTION_STATUS_RUNNING,
    WORKFLOW_EXECUTION_STATUS_TERMINATED,
    WorkflowExecutionStatus,
)
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest, ListWorkflowExecutionsResponse

from coalmine.searching import list_rollouts


def listed(service: str, status: WorkflowExecutionStatus.ValueType) -> WorkflowExecutionInfo:
    execution = WorkflowExecution(workflow_id=f"canary/production/{service}", run_id=f"run-of-{service}")
    return WorkflowExecutionInfo(execution=execution, status=status)


async def test_a_paused_workflow_is_open_and_hides_no_other() -> None:
    async def answer(request: ListWorkflowExecutionsRequest, **_: Any) -> ListWorkflowExecutionsResponse:
        return ListWorkflowExecutionsResponse(
            executions=[
                listed("a", WORKFLOW_EXECUTION_STATUS_PAUSED),
                listed("b", WORKFLOW_EXECUTION_STATUS_RUNNING),
                listed("c", WORKFLOW_EXECUTION_STATUS_TERMINATED),
                listed("d", WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW),
            ]
        )

    client: Any = SimpleNamespace(
        namespace="default", workflow_service=SimpleNamespace(list_workflow_executions=answer)
    )
    rows = {row.service: row for row in await list_rollouts(client)}
    # One that continued as new is the same rollout as its next run.
    assert {name: (row.open, row.outcome) for name, row in rows.items()} == {
        "a": (True, None),
        "b": (True, None),
        "c": (False, "terminated"),
    }
