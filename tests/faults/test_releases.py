"""A test that waits for a rollout which was refused is told so at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.client import WorkflowExecutionStatus

from coalmine.records import Outcome, Phase
from tests.faults.releases import Handle, is_in, under_way
from tests.faults.witness import until


class Ended:
    """A rollout that has ended, as its handle says."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    async def query(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(phase=Phase.CLOSED)

    async def describe(self) -> Any:
        return SimpleNamespace(status=WorkflowExecutionStatus.COMPLETED)

    async def result(self) -> Any:
        return SimpleNamespace(outcome=self.outcome, reason="a proxy does not answer")


async def test_who_waits_for_a_refused_rollout_hears_why_at_once() -> None:
    refused = cast(Handle, Ended(Outcome.BLOCKED))
    async with asyncio.timeout(30):
        for wait in (lambda: is_in(refused, Phase.GATED), lambda: under_way(refused, 1)):
            with pytest.raises(AssertionError, match=r"refused at admission .*: a proxy does not answer"):
                await until(wait)


async def test_what_ended_otherwise_is_not_refused() -> None:
    assert not await is_in(cast(Handle, Ended(Outcome.PROMOTED)), Phase.GATED)
    assert await is_in(cast(Handle, Ended(Outcome.BLOCKED)), Phase.CLOSED)
