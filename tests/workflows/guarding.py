"""The scripted world's route as a real router serves it, and hands to work a guard over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from activities.guard import GuardActivities
from activities.guard_archive import GuardArchiveActivities
from coalmine.errors import RouterUnreachable, StaleGeneration
from coalmine.records import (
    HOOK_TASK_QUEUE,
    SIDE_TASK_QUEUE,
    TASK_QUEUE,
    Capabilities,
    Check,
    Confirmation,
    RouteState,
    Weights,
)
from coalmine.spec.canary import Route
from tests.workflows.world import World, Write
from workflows.canary import Canary
from workflows.fleet import Fleet
from workflows.guard import TrafficGuard
from workflows.one_input import OneInput


class WorldRouter:
    """Reads and writes ``World.route`` by the rules of the contract."""

    able = Capabilities(fencing="strict", granularity=0.01)

    def __init__(self, world: World) -> None:
        self._world = world
        self.down = False
        """It answers nothing."""
        self.reads = 0

    async def capabilities(self, route: Route) -> Capabilities:
        """Strict."""
        return self.able

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """All is well."""
        return []

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """The route."""
        self.reads += 1
        if self.down:
            raise RouterUnreachable("the proxies do not answer")
        return self._world.state()

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Fenced."""
        world = self._world
        if generation == world.generation and weights == world.route:
            return world.state()
        if generation <= world.generation:
            raise StaleGeneration(f"the route is at {world.generation}")
        world.route, world.generation = dict(weights), generation
        world.writes.append(Write(dict(weights), generation, restoring))
        return world.state()

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Shown at once."""
        return Confirmation(answer="yes")


def guard_workers(
    client: Client, world: World, router: WorldRouter, canary: type = Canary, **options: Any
) -> list[Worker]:
    """All queues, with a guard whose activities are the real ones; options are the main queue's."""
    guard = GuardActivities(client, {"envoy": router})
    activities: list[Any] = [*world.activities, guard.survey_routes, guard.guard_restore]
    main = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[canary, Fleet, TrafficGuard],
        activities=activities,
        interceptors=[OneInput()],
        **options,
    )
    archive = GuardArchiveActivities(client)
    side = [*world.side_activities, archive.archive_closed]
    return [
        main,
        Worker(client, task_queue=SIDE_TASK_QUEUE, activities=side),
        Worker(client, task_queue=HOOK_TASK_QUEUE, activities=world.hook_activities),
    ]
