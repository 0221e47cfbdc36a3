"""Freezes with the real fleet: nothing starts, whoever waits hears of it, and a rollback asks nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from coalmine.records import Freeze, FreezeOrder, Frozen, Outcome, Phase, Receipt, Thaw
from tests.workflows.harbour import Port, opened
from tests.workflows.serving import pass_time


@pytest.fixture
async def port(env: WorkflowEnvironment) -> AsyncIterator[Port]:
    """One environment on a server of its own."""
    async with opened(env) as port:
        yield port


async def freeze(port: Port, service: str | None = None, **changes: Any) -> Frozen:
    order = {"by": "ana", "reason": "holidays", "service": service, **changes}
    given = FreezeOrder(freeze=Freeze.model_validate(order))
    frozen: Frozen = await port.fleet.execute_update("freeze", given, result_type=Frozen)
    return frozen


def refusals(receipt: Receipt) -> str:
    """Why it was blocked."""
    return "; ".join(f"{check.name}: {check.reason}" for check in receipt.checks if not check.ok)


async def test_what_is_frozen_is_blocked_and_everything_else_starts(port: Port) -> None:
    await freeze(port, "a")
    _, receipt = await port.start("a")
    assert receipt.disposition == "blocked"
    assert "freeze: a in test is frozen until it is lifted by ana: holidays" in refusals(receipt)
    assert "a human may start it all the same with --during-freeze" in refusals(receipt)
    assert (await port.start("b"))[1].disposition == "started"
    lifted: Frozen = await port.fleet.execute_update("unfreeze", Thaw(service="a", by="bo"), result_type=Frozen)
    assert (lifted.freezes, lifted.lifted and lifted.lifted.by) == ([], "ana")
    assert (await port.start("a"))[1].disposition == "started"
    await port.replay("fleet/test", "canary/test/a", "canary/test/b")


async def test_a_freeze_ends_by_itself(port: Port) -> None:
    now: datetime = await port.env.get_current_time()
    await freeze(port, until=now + timedelta(hours=1))
    assert (await port.start("a"))[1].disposition == "blocked"
    await pass_time(port.env, timedelta(hours=2))
    assert (await port.start("a"))[1].disposition == "started"


async def test_a_person_may_override_it_and_everybody_hears_of_that(port: Port) -> None:
    await freeze(port)
    automated, receipt = await port.start("a", during_freeze=True, automated=True)
    assert receipt.disposition == "blocked"
    await automated.result()
    rollout, receipt = await port.start("a", during_freeze=True, by="bo", reason="it leaks money")
    assert receipt.disposition == "started"
    entries = [entry for entry in port.world.ledger.values() if entry.kind == "freeze_overridden"]
    assert [(entry.by, entry.data["said"]) for entry in entries] == [("bo", "it leaks money")]
    await rollout.soon(lambda now: now.phase is Phase.GATED)
    told = [request.notification for request in port.world.notices]
    assert [one.severity for one in told if "is started during a freeze" in one.title] == ["critical"]


async def test_who_waits_for_a_slot_is_blocked_at_once_and_who_runs_goes_on(port: Port) -> None:
    await port.limit(1)
    first, _ = await port.start("a")
    second, waits = await port.start("b")
    assert waits.disposition == "queued"
    await freeze(port)
    assert (await second.result()).outcome is Outcome.BLOCKED
    assert (await first.status()).phase is Phase.GATED
    await first.send("rollback")
    assert (await first.result()).outcome is Outcome.ROLLED_BACK


async def test_what_is_not_a_freeze_is_refused(port: Port) -> None:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await freeze(port, reason="")
    assert "'reason' is empty" in str(refused.value.cause)
    braked = FreezeOrder(freeze=Freeze(service="a", by="ana", reason="fire"), brake="hold")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await port.fleet.execute_update("freeze", braked)
    assert "the brake is for a whole environment, not for a alone" in str(refused.value.cause)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await port.fleet.execute_update("unfreeze", Thaw(by="ana"))
    assert "test is not frozen (nothing is)" in str(refused.value.cause)
