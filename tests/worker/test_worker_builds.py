"""Releases of Temporal workers, judged on how their workflows end: real server, real worker, two builds, real load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from temporalio.api.enums.v1 import WorkerDeploymentVersionStatus
from temporalio.client import Client
from temporalio.service import RPCError

from coalmine.client import Coalmine, RolloutRef
from coalmine.errors import CoalmineError
from coalmine.preflight import create_missing
from coalmine.records import Cause, Outcome, RolloutReport
from coalmine.spec.canary import CanarySpec
from tests.conftest import TemporalServer
from tests.routers.temporal_world import describe, known, set_current
from tests.routers.toy import BrokenOrder, ScarceOrder, build_of
from tests.worker.conftest import WORKER, Start

pytestmark = pytest.mark.timeout(600)
ORDERS = "orders"
CUSTOMERS = 6
ENDS_WITHIN = 240.0
"""Seconds a rollout may take here; it takes a tenth. pytest's own timeout is no help: what it raises in the midst of
the customers ends one of them, and the test waits on."""
TOLD_WITHIN = 15.0


def release(baseline: str, canary: str) -> CanarySpec:
    """A release of the deployment ``orders`` from one build to another, in seconds."""
    spec: dict[str, Any] = {
        "service": ORDERS,
        "environment": f"test-{canary}",
        "arms": {
            "baseline": {"version": f"1.{baseline}.0", "backend": baseline},
            "canary": {"version": f"1.{canary}.0", "backend": canary},
        },
        "route": {"router": "temporal-worker", "name": ORDERS},
        "steps": [
            {"weight": 10, "for": "3s", "min_requests": 20},
            {"weight": 50, "for": "3s", "min_requests": 20},
        ],
        "metrics": [
            {
                **{"name": "failures", "kind": "ratio", "source": "temporal", "template": "temporal"},
                **{"floor": 0.2, "no_harm": 10, "max": 0.3},
            }
        ],
        "policy": {"look": "1s", "alpha": 0.05, "beta": 0.2, "no_data_limit": "30s", "max_extension": "3m"},
        "promotion": {"bake": "3s", "rollback_window": "0s"},
        "sources": {"temporal": {"kind": "temporal", "deployment": ORDERS}},
    }
    return CanarySpec.model_validate(spec)


@dataclass
class Routing:
    """What the server says of the deployment."""

    current: str
    ramping: str
    percent: float
    statuses: dict[str, int]


async def routing(client: Client) -> Routing:
    info = (await describe(client, ORDERS)).worker_deployment_info
    config = info.routing_config
    return Routing(
        config.current_deployment_version.build_id,
        config.ramping_deployment_version.build_id,
        round(config.ramping_version_percentage, 2),
        {one.deployment_version.build_id: one.status for one in info.version_summaries},
    )


@asynccontextmanager
async def customers(client: Client) -> AsyncIterator[None]:
    """Some who order, wait until the order has ended, well or not, and order again."""

    async def order_again_and_again(customer: int) -> None:
        for number in count():
            name = f"order-{customer}-{number}"
            handle = await client.start_workflow("Order", id=name, task_queue=ORDERS)
            await asyncio.gather(handle.result(), return_exceptions=True)

    ordering = [asyncio.create_task(order_again_and_again(customer)) for customer in range(CUSTOMERS)]
    try:
        yield
    finally:
        for one in ordering:
            one.cancel()
        await asyncio.gather(*ordering, return_exceptions=True)


async def standing(client: Client, coalmine: Coalmine, ref: RolloutRef) -> str:
    """How a rollout that does not end stands, and what the server deals out."""
    try:
        async with asyncio.timeout(TOLD_WITHIN):
            now, shown = await coalmine.status(ref), await routing(client)
    except (TimeoutError, CoalmineError, RPCError) as error:
        return f"and nobody says how it stands ({error!r})"
    said = "; ".join(filter(None, [now.reason, now.restore_failure, *now.unmet]))
    return f"it is in {now.phase.value} with {now.weights} under generation {now.generation} ({said}); {shown}"


@asynccontextmanager
async def watched(client: Client) -> AsyncIterator[set[tuple[str, float]]]:
    """Every ramp that is seen meanwhile, however that ends."""
    seen: set[tuple[str, float]] = set()

    async def look() -> None:
        while True:
            shown = await routing(client)
            seen.add((shown.ramping, shown.percent))
            await asyncio.sleep(0.2)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def rolled_out(client: Client, coalmine: Coalmine, spec: CanarySpec) -> tuple[RolloutRef, RolloutReport]:
    ref = RolloutRef((await coalmine.start(spec, by="ana")).workflow_id)
    try:
        async with asyncio.timeout(ENDS_WITHIN):
            await client.get_workflow_handle(ref.workflow_id).result()
    except TimeoutError:
        pytest.fail(
            f"{ref.workflow_id} has not ended within {ENDS_WITHIN:g} s: {await standing(client, coalmine, ref)}"
        )
    report = await coalmine.report(ref)
    assert report is not None
    return ref, report


async def builds_of_new_orders(client: Client, orders: int) -> dict[str, str]:
    """The build and the end of orders that are placed now."""
    ended: dict[str, str] = {}
    for number in range(orders):
        handle = await client.start_workflow("Order", id=f"late-{number}-of-them", task_queue=ORDERS)
        await asyncio.gather(handle.result(), return_exceptions=True)
        description = await handle.describe()
        info = description.raw_description.workflow_execution_info.versioning_info
        assert description.status is not None
        ended[f"{info.deployment_version.build_id} {description.status.name}"] = handle.id
    return ended


async def test_a_sound_build_becomes_current_and_one_whose_workflows_fail_is_taken_back(
    bare_temporal: TemporalServer, start: Start
) -> None:
    client = await bare_temporal.connect()
    await create_missing(client)
    coalmine = Coalmine(client)
    process = await start(WORKER, bare_temporal.variables())
    async with AsyncExitStack() as running:
        for build, kind in (("1", ScarceOrder), ("2", ScarceOrder), ("3", BrokenOrder)):
            await running.enter_async_context(build_of(client, ORDERS, build, kind))
        await known(client, ORDERS, "1", "2", "3")
        await set_current(client, ORDERS, "1")
        await running.enter_async_context(customers(client))
        await process.logged("warm")

        _, promoted = await rolled_out(client, coalmine, release("1", "2"))
        assert promoted.outcome is Outcome.PROMOTED, promoted
        now = await routing(client)
        assert (now.current, now.ramping, now.percent) == ("2", "", 0)

        async with watched(client) as seen:
            _, taken_back = await rolled_out(client, coalmine, release("2", "3"))
        assert taken_back.outcome is Outcome.ROLLED_BACK, taken_back
        assert taken_back.cause is Cause.ANALYSIS
        assert ("3", 10.0) in seen
        assert {percent for build, percent in seen if build == "3"} == {10.0}
        now = await routing(client)
        assert (now.current, now.ramping, now.percent) == ("2", "", 0)
        left = {
            WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING,
            WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED,
        }
        assert now.statuses["3"] in left
        failed = await client.count_workflows(
            f"TemporalWorkerDeploymentVersion = '{ORDERS}:3' AND ExecutionStatus = 'Failed'"
        )
        assert failed.count > 0
        assert set(await builds_of_new_orders(client, 30)) == {"2 COMPLETED"}
