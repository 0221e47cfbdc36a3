"""Workflows that call an activity or two, the way ``workflows`` does."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from coalmine.records import NOTIFY, RUN_HOOK, Done, HookRequest, NotifyRequest
    from workflows.calls import HOOK, NOTICE, call


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


@workflow.defn
class HooksAndAMessage:
    """Calls hooks, and tells people something while they are called: when it is signalled to."""

    def __init__(self) -> None:
        self._may_tell = False

    @workflow.signal
    def tell(self) -> None:
        self._may_tell = True

    @workflow.run
    async def run(self, hooks: list[HookRequest], message: NotifyRequest) -> Done:
        calls = [asyncio.create_task(call(RUN_HOOK, hook, HOOK, hook.key)) for hook in hooks]
        await workflow.wait_condition(lambda: self._may_tell)
        done = await call(NOTIFY, message, NOTICE, "tell")
        for one in calls:
            one.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return done
