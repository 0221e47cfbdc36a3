"""``temporal workflow reset``, as an operator does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle

from benchmarks.ground import NAMESPACE

_SIGNALS = ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL


async def reset(
    client: Client,
    handle: WorkflowHandle[Any, Any],
    choose: Callable[[Sequence[int]], int],
    request_id: str,
    *,
    signals: bool = True,
) -> bool:
    """Let another run take over from one of the tasks that are done; False when none is.

    Args:
        client: Of the server.
        handle: The run.
        choose: One of the tasks that are done, by their event ids.
        request_id: The same for every try.
        signals: Whether it hears those again that came after the task.
    """
    # Not what the history says: one that a reset made has the id of the first run in it.
    run_id = handle.run_id or (await handle.describe()).run_id
    history = await client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
    done = [e.event_id for e in history.events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]
    if not done:
        return False
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=NAMESPACE,
            workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=run_id),
            reason="fault",
            request_id=request_id,
            workflow_task_finish_event_id=choose(done),
            reset_reapply_exclude_types=() if signals else (_SIGNALS,),
        ),
        # Another rollout's fault may have the server away; asked twice it is one reset.
        retry=True,
    )
    return True
