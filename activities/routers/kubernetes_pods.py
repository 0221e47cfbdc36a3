"""Waiting for pods: until the Deployments' controller has seen a write, and until those that rise are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from activities.routers.kubernetes_api import KubernetesApi
from activities.routers.kubernetes_deployments import Fleet, read_fleet
from coalmine.errors import RouteUnconfirmed

OBSERVED_WITHIN = 1.0
"""Seconds for the Deployments' controller to see a change; it takes milliseconds."""
READY_WITHIN = 4.0
"""Seconds a write waits for pods before it says that they are not ready; trying it again goes on waiting."""
_PAUSE = 0.02


async def observed(api: KubernetesApi, service: str) -> Fleet:
    """The fleet once its controller has seen it and its pods are those of the last write, or as it is when late."""
    late = asyncio.get_running_loop().time() + OBSERVED_WITHIN
    while True:
        fleet = await read_fleet(api, service)
        seen = all(fleet.observed(name) for name in fleet.deployments) and not fleet.half_written
        if seen or asyncio.get_running_loop().time() > late:
            return fleet
        await asyncio.sleep(_PAUSE)


async def ready(api: KubernetesApi, service: str, names: Sequence[str], restoring: bool) -> None:
    """Wait for the pods of those that rise.

    A controller that sees nothing keeps nobody: ``confirm`` names it. Nor do pods keep a rollback: they may be waiting
    for the very room that the canary leaves.

    Raises:
        RouteUnconfirmed: they are not ready yet.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        fleet = await read_fleet(api, service)
        waiting = [fleet.waiting(name) for name in names if fleet.waiting(name)]
        took = loop.time() - began
        blind = not all(fleet.observed(name) for name in names)
        if not waiting or (took > OBSERVED_WITHIN and (blind or restoring)):
            return
        if took > READY_WITHIN:
            raise RouteUnconfirmed(f"{'; '.join(waiting)}: the other Deployment keeps its pods until they are")
        await asyncio.sleep(_PAUSE)
