"""A look of the traffic guard has a time in which it must be over, whatever does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from activities.guard import AT_ONCE, LATE, GuardActivities
from coalmine.errors import RouterUnreachable
from coalmine.ownership import Run
from coalmine.records import RouteState, Watched
from coalmine.spec.canary import Route
from tests.test_guarding import BEFORE, watched

ROUTES = [watched(workflow_id=f"canary/test/a{number}", service=f"a{number}") for number in range(3 * AT_ONCE)]
TAKES = 0.3
"""Seconds until the network gives up a route that hangs."""


class Runs:
    """Of rollouts that Temporal no longer lists."""

    async def listed(self, environment: str | None) -> tuple[list[Run], bool]:
        return [], False

    async def described(self, workflow_id: str, run_id: str | None) -> Run | None:
        return None


class Network:
    """Some routes hang; the others are as they have to be."""

    def __init__(self, hanging: set[str]) -> None:
        self.hanging = hanging

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        if route.name in self.hanging:
            await asyncio.sleep(TAKES)
            raise RouterUnreachable(f"{route.name} hangs")
        return RouteState(weights=BEFORE, generation=1)


def _named(routes: Sequence[Watched]) -> list[Watched]:
    return [one.model_copy(update={"route": one.route.model_copy(update={"name": one.service})}) for one in routes]


async def test_routes_that_hang_hide_no_other_for_longer_than_a_look() -> None:
    routes = _named(ROUTES)
    hanging = {one.service for one in routes[: 2 * AT_ONCE]}
    client: Any = SimpleNamespace(namespace="default")
    routers: Any = {routes[0].route.router: Network(hanging)}
    guard = GuardActivities(client, routers, within=TAKES / 2)
    guard._runs = Runs()  # type: ignore[assignment]
    told: list[set[str]] = []
    for _ in range(3):
        survey = await guard.survey("test", {}, routes)
        told.append({finding.workflow_id for finding in survey.findings})
        assert {finding.kind for finding in survey.findings} == {"unreadable"}
        assert len(told[-1]) == AT_ONCE
        assert set(survey.unknown.values()) == {LATE}
        assert not told[-1] & set(survey.unknown)
        assert survey.looked + len(survey.unknown) == len(routes)
    # Each that hangs had its turn, and from then on everybody else comes before them.
    assert told[0] != told[1]
    assert told[0] | told[1] == {f"canary/test/{name}" for name in hanging}
    assert told[2] == told[0]
    assert not {one.workflow_id for one in routes[2 * AT_ONCE :]} & set(survey.unknown)
