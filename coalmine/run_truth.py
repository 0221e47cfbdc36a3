"""What Temporal knows of a run, asked from the threads that run workflows: they must not act on what never was."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from coalmine.executions import describe

WITHIN = timedelta(seconds=1)
"""An activation may take two."""
_PAGE = 50
"""Events, the latest first: a task is seldom further back."""
T = TypeVar("T")


class RunTruth:
    """Made on the worker's event loop, asked from other threads; when in doubt it says no."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()

    def is_closed(self, workflow_id: str, run_id: str) -> bool:
        """Whether a workflow is over."""
        return self._asked(self._is_closed(workflow_id, run_id)) or False

    def is_completed(self, workflow_id: str, run_id: str, started: int) -> bool:
        """Whether the workflow task that began with this event was completed, by whichever worker."""
        return self._asked(self._is_completed(workflow_id, run_id, started)) or False

    def _asked(self, question: Coroutine[Any, Any, T]) -> T | None:
        try:
            return asyncio.run_coroutine_threadsafe(question, self._loop).result(WITHIN.total_seconds())
        except (RPCError, TimeoutError):
            return None

    async def _is_closed(self, workflow_id: str, run_id: str) -> bool:
        found = await describe(self._client, workflow_id, run_id, WITHIN)
        return found.status is not WorkflowExecutionStatus.RUNNING

    async def _is_completed(self, workflow_id: str, run_id: str, started: int) -> bool:
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=self._client.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            maximum_page_size=_PAGE,
        )
        while True:
            service = self._client.workflow_service
            page = await service.get_workflow_execution_history_reverse(request, timeout=WITHIN)
            for event in page.history.events:
                if event.event_id == started + 1:
                    return event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
                if event.event_id <= started:
                    return False
            if not page.next_page_token:
                return False
            request.next_page_token = page.next_page_token
