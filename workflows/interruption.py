"""Waiting that a human's word can cut short: a rollback never queues behind a look, a hook or a shift."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

T = TypeVar("T")


class Interrupted(Exception):
    """Raised inside the workflow when an order arrived while it waited for an activity."""


async def unless(interrupted: Callable[[], bool], work: Coroutine[Any, Any, T]) -> T:
    """Wait for ``work``, but drop it (cancelling its activity, not waiting for that) once ``interrupted`` is true.

    Raises:
        Interrupted: ``work`` was dropped.
    """
    task = asyncio.ensure_future(work)
    try:
        await workflow.wait_condition(lambda: task.done() or interrupted())
    except asyncio.CancelledError:
        drop(task)
        raise
    if task.done():
        return task.result()
    drop(task)
    raise Interrupted


def drop(task: asyncio.Future[Any]) -> None:
    """Cancel work whose end nobody waits for: how it ends is of no interest, and no error in the worker's log."""
    task.cancel()
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


def failure_type(error: ActivityError) -> str:
    """The name of our own error behind a failed activity, or the kind of time-out."""
    return error.cause.type or "" if isinstance(error.cause, ApplicationError) else type(error.cause).__name__


def failure_reason(error: ActivityError) -> str:
    """One sentence saying what failed."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return f"{cause.type}: {cause.message}" if cause.type else cause.message
    return f"{error.activity_type} did not finish in time ({cause})" if cause else str(error)
