"""One environment with the real fleet behind it, and rollouts of several services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

from activities.brake import BrakeActivities
from activities.fleet import FleetActivities
from activities.flight import FlightActivities
from coalmine.records import TASK_QUEUE, Done, FleetRequest, FleetState, Receipt, SlotBook, SlotLimit
from tests.workflows.driving import Rollout
from tests.workflows.serving import pass_time, workers
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import World
from workflows.canary import Canary
from workflows.fleet import Fleet
from workflows.one_input import OneInput
from workflows.runner import HistoryBoundRunner

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
        flight, brake = FlightActivities(self.client), BrakeActivities(self.client)
        return [*kept, self.ask_real_fleet, flight.check_flight, brake.brake]

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

        skips = self.env.supports_time_skipping

        async def sleep(seconds: float) -> None:
            await (pass_time(self.env, timedelta(seconds=seconds)) if skips else asyncio.sleep(seconds))

        tick, now = 2 if skips else 0.05, self.env.get_current_time
        return Rollout(self.client, self.world, sleep, now, id=f"canary/test/{service}", tick=tick, skips=skips)

    async def replay(self, *workflow_ids: str) -> None:
        """What was written replays."""
        await replay(self.client, *workflow_ids)

    async def limit(self, limit: int | None) -> SlotBook:
        """Set the limit."""
        given = SlotLimit(limit=limit, by="ana")
        book: SlotBook = await self.fleet.execute_update("slots", given, result_type=SlotBook)
        return book

    async def book(self) -> SlotBook:
        """Who runs and who waits."""
        book: SlotBook = await self.fleet.query("slots", result_type=SlotBook)
        return book


async def replay(client: Client, *workflow_ids: str) -> None:
    """What was written replays."""
    replayer = Replayer(
        workflows=[Canary, Fleet],
        data_converter=pydantic_data_converter,
        interceptors=[OneInput()],
        workflow_runner=HistoryBoundRunner(),
    )
    for workflow_id in workflow_ids:
        history = await client.get_workflow_handle(workflow_id).fetch_history()
        replayed = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        assert replayed.replay_failure is None, (workflow_id, replayed.replay_failure)


@asynccontextmanager
async def opened(env: WorkflowEnvironment) -> AsyncIterator[Port]:
    """One environment, its fleet and its workers, on a server of its own."""
    world = Harbour(client=env.client)
    async with AsyncExitStack() as stack:
        for worker in workers(env.client, world):
            await stack.enter_async_context(worker)
        await env.client.start_workflow("Fleet", FleetState(environment="test"), id="fleet/test", task_queue=TASK_QUEUE)
        yield Port(env, world)
