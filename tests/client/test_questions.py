"""A question that meets a worker which has to read the workflow again is asked again, and any other refusal is told."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError

from coalmine.errors import RefusedError, TemporalUnavailable
from coalmine.questions import TIMES, ask
from coalmine.records import ASK_AGAIN, RolloutStatus

ANSWER = RolloutStatus(phase="stepping", service="checkout", environment="production")


class Handle:
    """Refuses so many times, then answers."""

    id = "canary/production/checkout"

    def __init__(self, reason: str, times: int) -> None:
        self.reason, self.times, self.asked = reason, times, 0

    async def query(self, name: str, **_: Any) -> RolloutStatus:
        self.asked += 1
        if self.asked <= self.times:
            raise WorkflowQueryFailedError(self.reason)
        return ANSWER


async def asked(handle: Handle) -> RolloutStatus:
    client = cast("Client", SimpleNamespace(namespace="coalmine"))
    return await ask(client, cast("WorkflowHandle[Any, Any]", handle), "status", RolloutStatus, timedelta(seconds=5))


@pytest.mark.parametrize("reason", ASK_AGAIN)
async def test_it_is_asked_again(reason: str) -> None:
    handle = Handle(reason, TIMES - 1)
    assert await asked(handle) is ANSWER
    assert handle.asked == TIMES
    with pytest.raises(TemporalUnavailable):
        await asked(Handle(reason, TIMES))


async def test_another_refusal_is_told() -> None:
    handle = Handle("no such query", 1)
    with pytest.raises(RefusedError, match="no such query"):
        await asked(handle)
    assert handle.asked == 1
