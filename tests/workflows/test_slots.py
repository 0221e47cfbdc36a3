"""Slots with the real fleet: a limit holds, order is that of arrival, and nobody who is gone blocks anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

from activities.fleet import FleetActivities
from activities.flight import FlightActivities
from coalmine.records import (
    TASK_QUEUE,
    Done,
    FleetRequest,
    FleetState,
    Outcome,
    Phase,
    Receipt,
    SlotBook,
    SlotLimit,
)
from tests.workflows.conftest import Rollout, workers
from tests.workflows.world import World, make_spec, make_submission
from workflows.canary import Canary
from workflows.fleet import Fleet
from workflows.messages import OneInput

GATED = [{"weight": 10, "for": "20s", "gate": {"name": "go", "approval": {"timeout": "4h"}}}]


class Harbour(World):
    """The scripted world with the real fleet behind it; it can be cut off."""

    fleet_down = False
    asked: int = 0

    @property
    def activities(self) -> list[Any]:
        """The world's, but for those of the fleet."""
        assert self.client is not None
        kept = [one for one in super().activities if one.__name__ != "ask_fleet"]
        return [*kept, self.ask_real_fleet, FlightActivities(self.client).check_flight]

    @activity.defn(name="ask_fleet")
    async def ask_real_fleet(self, request: FleetRequest) -> Done:
        """As the worker does, unless it is cut off."""
        self.asked += 1
        if self.fleet_down:
            raise ApplicationError("no answer", type="TemporalUnavailable")
        assert self.client is not None
        done: Done = await FleetActivities(self.client).ask_fleet(request)
        return done


class Port:
    """An environment with a fleet, and rollouts of several services that wait at a gate once they are admitted."""

    def __init__(self, env: WorkflowEnvironment, world: Harbour) -> None:
        self.env, self.client, self.world = env, env.client, world
        self.fleet = env.client.get_workflow_handle("fleet/test")

    async def start(self, service: str, **changes: Any) -> tuple[Rollout, Receipt]:
        """Submit one of a service; it gets as far as its gate."""
        submission = make_submission(make_spec(service=service, steps=GATED), **changes)
        rollout = self.at(service)
        return rollout, await rollout.submit(submission)

    def at(self, service: str) -> Rollout:
        """The rollout of a service."""

        async def sleep(seconds: float) -> None:
            await self.env.sleep(timedelta(seconds=seconds))

        now = self.env.get_current_time
        return Rollout(self.client, self.world, sleep, now, id=f"canary/test/{service}", skips=True)

    async def replay(self, *workflow_ids: str) -> None:
        """What was written replays."""
        for workflow_id in workflow_ids:
            history = await self.client.get_workflow_handle(workflow_id).fetch_history()
            replayer = Replayer(
                workflows=[Canary, Fleet], data_converter=pydantic_data_converter, interceptors=[OneInput()]
            )
            replayed = await replayer.replay_workflow(history, raise_on_replay_failure=False)
            assert replayed.replay_failure is None, (workflow_id, replayed.replay_failure)

    async def limit(self, limit: int | None) -> SlotBook:
        """Set the limit."""
        given = SlotLimit(limit=limit, by="ana")
        book: SlotBook = await self.fleet.execute_update("slots", given, result_type=SlotBook)
        return book

    async def book(self) -> SlotBook:
        """Who runs and who waits."""
        book: SlotBook = await self.fleet.query("slots", result_type=SlotBook)
        return book


def services(row: list[FleetRequest]) -> list[str]:
    """Their names."""
    return [one.service for one in row]


@pytest.fixture
async def port(env: WorkflowEnvironment) -> AsyncIterator[Port]:
    """One environment on a server of its own."""
    world = Harbour(client=env.client)
    async with AsyncExitStack() as stack:
        for worker in workers(env.client, world):
            await stack.enter_async_context(worker)
        await env.client.start_workflow("Fleet", FleetState(environment="test"), id="fleet/test", task_queue=TASK_QUEUE)
        yield Port(env, world)


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


async def test_the_book_survives_continue_as_new_of_the_fleet(port: Port) -> None:
    await port.limit(1)
    first, _ = await port.start("a")
    second, _ = await port.start("b")
    before = (await port.fleet.describe()).run_id
    unban = FleetRequest(verb="unban", environment="test", service="x", version="1")
    while (await port.fleet.describe()).history_length < 4_200:
        # Continue-as-new is suggested after 4,096 events; it does not happen while signals go on coming in.
        await asyncio.gather(*(port.fleet.signal("unban", unban) for _ in range(200)))
    async with asyncio.timeout(15):
        while (await port.fleet.describe()).run_id == before:
            await asyncio.sleep(0.05)
    book = await port.book()
    assert (book.limit, services(book.holders), services(book.waiting)) == (1, ["a"], ["b"])
    await first.send("reject")
    await second.reach(Phase.GATED)
