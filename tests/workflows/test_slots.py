"""Slots with the real fleet: a limit holds, order is that of arrival, and nobody who is gone blocks anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from coalmine.records import (
    FleetRequest,
    Outcome,
    Phase,
    SlotBook,
)
from tests.workflows.harbour import GATED, Port, opened
from tests.workflows.specs import make_spec, make_submission


def services(row: list[FleetRequest]) -> list[str]:
    """Their names."""
    return [one.service for one in row]


@pytest.fixture
async def port(env: WorkflowEnvironment) -> AsyncIterator[Port]:
    """One environment on a server of its own."""
    async with opened(env) as port:
        yield port


async def test_those_beyond_the_limit_wait_in_order_of_arrival(port: Port) -> None:
    await port.limit(1)
    first, receipt = await port.start("a")
    assert receipt.disposition == "started"
    second, waits = await port.start("b")
    assert (waits.disposition, waits.reason, waits.position) == ("queued", "slot: waiting, 1st of 1", 1)
    third, waits = await port.start("c")
    assert waits.reason == "slot: waiting, 2nd of 2"
    status = await third.status()
    assert (status.phase, status.unmet) == (Phase.ADMITTING, ["slot: waiting, 2nd of 2"])
    assert (await second.soon(lambda now: now.unmet == ["slot: waiting, 1st of 2"])).phase is Phase.ADMITTING
    _, again = await port.start("b")
    assert (again.disposition, again.position) == ("queued", 1), "a second start attaches, and takes no second place"

    await first.send("reject")
    assert (await first.result()).outcome is Outcome.REJECTED
    status = await second.reach(Phase.GATED)
    assert status.unmet == []
    assert (await third.until(lambda now: now.unmet == ["slot: waiting, 1st of 1"])).phase is Phase.ADMITTING
    book = await port.book()
    assert (services(book.holders), services(book.waiting)) == (["b"], ["c"])
    assert (await port.limit(None)).waiting == []
    await third.reach(Phase.GATED)
    for rollout in (second, third):
        await rollout.send("reject")
        report = await rollout.result()
        slot = next((check.reason for check in report.checks if check.name == "slot"), None)
        assert slot == ("it has one of 1" if rollout is second else None)
    assert (await port.book()).holders == []
    await port.replay("fleet/test", *(f"canary/test/{name}" for name in "abc"))


async def test_a_terminated_holder_loses_its_slot_to_who_waits(port: Port) -> None:
    await port.limit(1)
    first, _ = await port.start("a")
    second, waits = await port.start("b")
    assert waits.disposition == "queued"
    await first.handle.terminate(reason="gone")
    await second.reach(Phase.GATED, 20)
    assert services((await port.book()).holders) == ["b"]
    await port.replay("fleet/test", "canary/test/b")


async def test_one_that_waits_is_rolled_back_at_once_and_those_behind_it_move_up(port: Port) -> None:
    await port.limit(1)
    await port.start("a")
    second, _ = await port.start("b")
    third, _ = await port.start("c")
    await second.send("rollback")
    assert (await second.result()).outcome is Outcome.ROLLED_BACK
    assert (await third.until(lambda now: now.unmet == ["slot: waiting, 1st of 1"])).phase is Phase.ADMITTING
    assert port.world.writes == []


async def test_a_version_that_is_banned_while_it_waits_is_blocked_with_its_turn(port: Port) -> None:
    await port.limit(1)
    first, _ = await port.start("a")
    second, _ = await port.start("b", automated=True)
    await port.fleet.signal(
        "ban", FleetRequest(verb="ban", environment="test", service="b", version="1.1.0", by="cy", reason="leaks")
    )
    await first.send("reject")
    report = await second.result()
    assert (report.outcome, "banned by cy" in report.reason) == (Outcome.BLOCKED, True)
    assert [*(await port.book()).holders, *(await port.book()).waiting] == []


async def test_a_rollback_neither_asks_for_a_slot_nor_waits_to_give_it_back(port: Port) -> None:
    await port.limit(1)
    first, _ = await port.start("a")
    await first.send("approve")
    await first.until(lambda now: now.canary_weight == 10)
    port.world.fleet_down = True
    asked = port.world.asked
    await first.send("rollback")
    status = await first.until(lambda now: now.restored is True, 1)
    assert port.world.canary == 0
    assert port.world.writes[-1].restoring
    assert status.phase in (Phase.ROLLING_BACK, Phase.CLOSED)
    report = await first.result()
    assert (report.outcome, report.seconds_to_restore is not None) == (Outcome.ROLLED_BACK, True)
    assert report.seconds_to_restore is not None
    assert report.seconds_to_restore < 5
    assert port.world.asked > asked, "the ban and the slot were tried, after the route was restored"
    # The slot it could not give back is freed once somebody needs it.
    port.world.fleet_down = False
    second, waits = await port.start("b")
    assert waits.disposition == "queued"
    await second.reach(Phase.GATED, 20)


async def test_the_rollback_window_needs_no_slot(port: Port) -> None:
    await port.limit(1)
    first, _ = await port.start("a")
    await first.send("approve")
    second, _ = await port.start("b")
    await first.reach(Phase.WINDOW)
    assert (await second.until(lambda now: now.phase is not Phase.ADMITTING)).unmet == []
    assert (await first.status()).phase is Phase.WINDOW


async def test_the_next_of_a_service_takes_its_slot_over(port: Port) -> None:
    await port.limit(1)
    first, _ = await port.start("a")
    other, _ = await port.start("b")
    arms = {
        "baseline": {"version": "1.0.0", "backend": "checkout-v1"},
        "canary": {"version": "1.2.0", "backend": "checkout-v3"},
    }
    spec = make_spec(service="a", steps=GATED, arms=arms, promotion={"when_busy": "supersede"})
    await first.submit(make_submission(spec))
    await other.reach(Phase.GATED)
    status = await first.until(lambda now: now.version == "1.2.0")
    assert status.unmet == ["slot: waiting, 1st of 1"], "it waits behind who came before it"


@pytest.mark.parametrize("given", [{"limit": 0, "by": "ana"}, {"limit": 1, "by": " "}, {"limit": -1, "by": "ana"}])
async def test_a_limit_that_means_nothing_is_refused(port: Port, given: dict[str, Any]) -> None:
    with pytest.raises(WorkflowUpdateFailedError):
        await port.fleet.execute_update("slots", given, result_type=SlotBook)
    assert (await port.limit(2)).limit == 2


async def test_a_window_that_cannot_reach_the_fleet_is_rolled_back_at_once_and_gives_its_slot_back_later(
    port: Port,
) -> None:
    await port.limit(1)
    first, _ = await port.start("a")
    await first.send("approve")
    await first.reach(Phase.BAKING)
    port.world.fleet_down = True
    await first.reach(Phase.WINDOW)
    await first.sleep(30)
    port.world.fleet_down = False
    second, _ = await port.start("b")
    assert (await second.until(lambda now: now.phase is not Phase.ADMITTING)).unmet == []
    await first.send("rollback")
    assert (await first.result()).outcome is Outcome.ROLLED_BACK


async def test_the_book_survives_continue_as_new_of_the_fleet(forgetful_env: WorkflowEnvironment) -> None:
    unban = FleetRequest(verb="unban", environment="test", service="x", version="1")
    async with opened(forgetful_env) as port:
        await port.limit(1)
        first, _ = await port.start("a")
        second, _ = await port.start("b")
        before = (await port.fleet.describe()).run_id
        # It does not happen while signals go on coming in.
        await asyncio.gather(*(port.fleet.signal("unban", unban) for _ in range(250)))
        async with asyncio.timeout(60):
            while (await port.fleet.describe()).run_id == before:
                await asyncio.sleep(0.05)
        book = await port.book()
        assert (book.limit, services(book.holders), services(book.waiting)) == (1, ["a"], ["b"])
        await first.send("reject")
        await second.reach(Phase.GATED)
