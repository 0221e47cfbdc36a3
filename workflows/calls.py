"""How workflows call activities: by name, typed by the signatures of ``coalmine.records``, with fitting time-outs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from coalmine.records import ActivitySignature, Record

In = TypeVar("In", bound=Record)
Out = TypeVar("Out", bound=Record)

SUMMARY_LIMIT = 190
"""Characters; servers may cut a summary at 200 bytes or refuse it."""


@dataclass(frozen=True)
class Budget:
    """How long one attempt and all attempts together may take, and how attempts are spaced."""

    attempt: timedelta
    total: timedelta | None = None
    heartbeat: timedelta | None = None
    first_pause: timedelta = timedelta(milliseconds=200)
    longest_pause: timedelta = timedelta(seconds=10)
    attempts: int = 0
    """0 = no limit."""


HEARTBEAT, SLOW_HEARTBEAT = timedelta(seconds=2), timedelta(seconds=10)
"""A worker that dies is noticed this soon: where traffic or a decision waits for it, and where neither does. What has
neither time-out ends within its one short attempt."""

ROUTE_READ = Budget(timedelta(seconds=3), total=timedelta(seconds=30))
ROUTE_CHECK = Budget(timedelta(seconds=12), total=timedelta(seconds=36))
"""A proxy that is silent is asked again and again before it is named."""
ROUTE_WRITE = Budget(timedelta(seconds=10), total=timedelta(seconds=60), heartbeat=HEARTBEAT)
VERIFY = Budget(timedelta(seconds=10), total=timedelta(seconds=25))
RESTORE = Budget(timedelta(seconds=10), heartbeat=HEARTBEAT, longest_pause=timedelta(seconds=5))
RECALL = Budget(timedelta(seconds=10), total=timedelta(seconds=30), heartbeat=HEARTBEAT)
JUDGE = Budget(timedelta(seconds=3), total=timedelta(minutes=2))
HISTORY = Budget(timedelta(seconds=30), total=timedelta(seconds=60), heartbeat=HEARTBEAT)
LEDGER = Budget(
    timedelta(seconds=10), total=timedelta(minutes=5), heartbeat=HEARTBEAT, longest_pause=timedelta(seconds=15)
)
FLEET = Budget(timedelta(seconds=10), heartbeat=HEARTBEAT, longest_pause=timedelta(seconds=15))
FLEET_AFTER = Budget(timedelta(seconds=10), total=timedelta(minutes=2), heartbeat=HEARTBEAT)
SLOT_RELEASE_WITHIN = timedelta(seconds=15)
SLOT_RELEASE = Budget(timedelta(seconds=5), total=SLOT_RELEASE_WITHIN, heartbeat=HEARTBEAT)
FLIGHT = Budget(timedelta(seconds=20), total=timedelta(seconds=30), heartbeat=SLOW_HEARTBEAT)
ARCHIVE = Budget(timedelta(seconds=60), total=timedelta(minutes=10), heartbeat=SLOW_HEARTBEAT)
ARCHIVE_AT_END = Budget(timedelta(seconds=20), total=timedelta(seconds=30), heartbeat=SLOW_HEARTBEAT)
NOTICE = Budget(timedelta(seconds=20), total=timedelta(minutes=5), heartbeat=SLOW_HEARTBEAT)
HOOK = Budget(timedelta(minutes=10), total=timedelta(hours=1), heartbeat=SLOW_HEARTBEAT)


def collecting(look: timedelta) -> Budget:
    """A look's collection is bounded by one look interval, at most 30 s; under 5 s it would starve on a slow answer."""
    bound = min(max(look, timedelta(seconds=5)), timedelta(seconds=30))
    return Budget(bound, total=bound, heartbeat=HEARTBEAT, longest_pause=timedelta(seconds=1))


def diagnosing(timeout: timedelta) -> Budget:
    """A diagnosis may be tried again where a worker died, but takes no longer than half as much again."""
    return Budget(timeout, total=timeout * 1.5, heartbeat=min(SLOW_HEARTBEAT, timeout), attempts=2)


async def call(signature: ActivitySignature[In, Out], request: In, budget: Budget, summary: str) -> Out:
    """Run one activity.

    Raises:
        ActivityError: it failed for good; its cause says how.
        CancelledError: it was cancelled. As an ``ActivityError`` it would pass for a failure one can live with.
    """
    try:
        result: Out = await workflow.execute_activity(
            signature.name,
            request,
            result_type=signature.output,
            task_queue=signature.task_queue,
            summary=summary[:SUMMARY_LIMIT],
            start_to_close_timeout=budget.attempt,
            schedule_to_close_timeout=budget.total,
            heartbeat_timeout=budget.heartbeat,
            retry_policy=RetryPolicy(
                initial_interval=budget.first_pause,
                maximum_interval=budget.longest_pause,
                maximum_attempts=budget.attempts,
            ),
        )
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise asyncio.CancelledError(str(error)) from error
        raise
    return result
