"""How a deployment gets from one split to another, and what is refused of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentManagerRequest
from temporalio.client import Client

from activities.routers.temporal_deployment import UNVERSIONED, Change, Deployment
from coalmine.errors import RouteRejected
from coalmine.records import Check
from coalmine.spec.canary import Route
from coalmine.testing.router_contract import CANARY, DEAD, STABLE, confirmed, shown
from tests.routers.temporal_servers import dev_server
from tests.routers.temporal_world import create_build, set_current, set_ramping, shop_and_store, world_of


def deployment(current: str, ramping: str = "", percent: float = 0.0, identity: str = "", kept: int = 0) -> Deployment:
    return Deployment(current, ramping, percent, frozenset({"a", "b", "c"}), b"", identity, "", kept)


@pytest.mark.parametrize(
    ("found", "units", "changes"),
    [
        (deployment("a"), {"a": 9000, "b": 1000}, [Change("b", 10.0)]),
        (deployment("a", "b", 10.0), {"a": 9999, "b": 1}, [Change("b", 0.01)]),
        (deployment("a", "b", 10.0), {"a": 10000, "b": 0}, [Change("", 0.0)]),
        (deployment("a", "b", 50.0), {"a": 0, "b": 10000}, [Change("b")]),
        (deployment("b"), {"a": 10000, "b": 0}, [Change("a")]),
        (deployment("b"), {"a": 2500, "b": 7500}, [Change("a", 25.0)]),
        # A ramp of another build would outlive the change of the current one, so all go to the build first.
        (deployment("a", "c", 20.0), {"b": 10000}, [Change("b", 100.0), Change("b")]),
        (deployment("c"), {"a": 9000, "b": 1000}, [Change("a"), Change("b", 10.0)]),
        (deployment(UNVERSIONED), {"a": 10000}, [Change("a")]),
    ],
)
def test_the_writes_that_lead_there(found: Deployment, units: dict[str, int], changes: list[Change]) -> None:
    assert found.changes_to(units) == changes


@pytest.mark.parametrize(
    ("identity", "kept", "generation", "finished"),
    [
        ("coalmine generation 7", 0, 7, True),
        ("coalmine generation 7 unfinished", 6, 7, False),
        ("ana@laptop", 7, 7, False),
        ("coalmine generation 7", 9, 9, True),
        ("", 0, 0, False),
    ],
)
def test_the_generation_outlives_a_change_by_somebody_else(
    identity: str, kept: int, generation: int, finished: bool
) -> None:
    found = deployment("a", identity=identity, kept=kept)
    assert (found.generation, found.finished) == (generation, finished)


async def test_what_nobody_could_see_at_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with dev_server() as client, shop_and_store(client) as names:
        world = await world_of(client, names, monkeypatch)
        router, name = world.workers[0], names[0]

        # A third build is current, and a fourth ramps: the weights are absolute.
        await create_build(client, name, "third")
        await set_current(client, name, "third")
        await set_ramping(client, name, DEAD, 20)
        checks = await router.check(world.route, [STABLE, CANARY], [10])
        assert "third 80 %, dead 20 %" in failures(checks)
        await router.apply(world.route, {STABLE: 90.0, CANARY: 10.0}, 1)
        await confirmed(world, 1)
        assert await shown(world) == {STABLE: 90, CANARY: 10}

        with pytest.raises(RouteRejected, match="3 builds have a weight"):
            await router.apply(world.route, {STABLE: 80.0, CANARY: 10.0, "third": 10.0}, 2)

        await managed_by(client, name, "controller")
        checks = await router.check(world.route, [STABLE, CANARY], [10])
        assert "only 'controller' may change it" in failures(checks)
        with pytest.raises(RouteRejected, match="manager-identity unset"):
            await router.apply(world.route, {STABLE: 100.0}, 2)
        assert await shown(world) == {STABLE: 90, CANARY: 10}

        for wrong in ({"address": "http://x"}, {"profile": "none-such", "address": None}, {"colour": "red"}):
            route = Route.model_validate({**world.route.model_dump(), **wrong})
            with pytest.raises(RouteRejected, match=rf"route\.{next(iter(wrong))}"):
                await router.read(route)


def failures(checks: Sequence[Check]) -> str:
    return "; ".join(check.reason for check in checks if not check.ok)


async def managed_by(client: Client, name: str, manager: str) -> None:
    await client.workflow_service.set_worker_deployment_manager(
        SetWorkerDeploymentManagerRequest(
            namespace=client.namespace, deployment_name=name, manager_identity=manager, identity=manager
        )
    )
