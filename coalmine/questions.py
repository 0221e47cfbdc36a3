"""Asking a workflow, also while its workers are being replaced."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError, WorkflowQueryRejectedError

from coalmine.connection import asking
from coalmine.errors import RefusedError, TemporalUnavailable
from coalmine.executions import is_paused, paused_sentence
from coalmine.records import ASK_AGAIN, Record

Answer = TypeVar("Answer", bound=Record)
TIMES = 5
"""How often a question is asked that its worker was in no state to answer."""


async def ask(
    client: Client, handle: WorkflowHandle[Any, Any], query: str, answer: type[Answer], within: timedelta
) -> Answer:
    """The answer to a query.

    Raises:
        RefusedError: the workflow cannot answer that.
        RolloutNotFound: there is no such workflow.
        TemporalUnavailable: nobody answers, it is paused in Temporal, or the workers change too fast.
    """
    for _ in range(TIMES):
        try:
            async with asking(f"workflow {handle.id}", client.namespace, within):
                answered: Answer = await handle.query(query, result_type=answer, rpc_timeout=within)
                return answered
        except (WorkflowQueryRejectedError, ValueError) as error:
            if isinstance(error, ValueError) and not is_paused(error):
                raise
            raise TemporalUnavailable(paused_sentence(handle.id, client.namespace)) from None
        except WorkflowQueryFailedError as error:
            if not any(again in str(error) for again in ASK_AGAIN):
                raise RefusedError(f"{handle.id}: {error}") from None
    raise TemporalUnavailable(f"{handle.id}: its worker was replaced or stood still again and again while it was asked")
