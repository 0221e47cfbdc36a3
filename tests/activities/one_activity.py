"""Workflows that call one activity each, the way ``workflows`` does."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from coalmine.records import NOTIFY, Done, NotifyRequest


@workflow.defn
class OneNotification:
    """Sends one message."""

    @workflow.run
    async def run(self, request: NotifyRequest) -> Done:
        done: Done = await workflow.execute_activity(
            NOTIFY.name,
            request,
            result_type=NOTIFY.output,
            start_to_close_timeout=timedelta(seconds=20),
            heartbeat_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50)),
        )
        return done
