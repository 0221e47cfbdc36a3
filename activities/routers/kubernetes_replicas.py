"""Traffic without a mesh: a Service deals requests evenly to its pods, so an arm's share is its share of the pods.

Two Deployments are two objects: the rising one is scaled first, and the other loses pods only once those are ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog

from activities.routers.kubernetes_api import (
    DEPLOYMENT,
    SERVICE,
    STAND_IN,
    KubernetesApi,
    Refused,
    annotated_generation,
)
from activities.routers.kubernetes_credentials import Clusters
from activities.routers.kubernetes_deployments import (
    Fleet,
    autoscaled,
    claim,
    disclaim,
    ours,
    pods_text,
    read_fleet,
    scale,
)
from activities.routers.kubernetes_pods import observed, ready
from activities.routers.kubernetes_rehearsal import fenced, rehearsal
from activities.routers.options import options_of
from activities.routers.weights import TOTAL, percents, weight_units, weights_check
from coalmine.errors import RouteRejected, RouterError, RouterUnreachable, RouteUnconfirmed, StaleGeneration
from coalmine.records import Capabilities, Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.canary import Route
from coalmine.spec.kubernetes_routes import KubernetesReplicasRoute

_log = structlog.get_logger("coalmine.router")


class KubernetesReplicasRouter:
    """``router: kubernetes-replicas``; ``name`` is the Service, a backend is a Deployment."""

    able = Capabilities(
        fencing="strict", granularity=0.01, step="100 % / `replicas`", confirm=True, tested_against=STAND_IN
    )

    def __init__(self) -> None:
        self._clusters = Clusters()
        self._writes: set[asyncio.Task[Any]] = set()

    async def aclose(self) -> None:
        """End this loop's connections."""
        await asyncio.gather(*self._writes, return_exceptions=True)
        await self._clusters.aclose()

    async def capabilities(self, route: Route) -> Capabilities:
        """Strict fence; the smallest step is one pod of all."""
        return self.able.model_copy(update={"granularity": _options(route).finest})

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """One check for the weights, the Service, and each Deployment."""
        checks = [weights_check(weights, _options(route).finest)]
        async with self._api(route) as api:
            try:
                fleet = await read_fleet(api, route.name)
            except RouterError as error:
                return [*checks, Check(ok=False, name="service", reason=str(error))]
            scalers = await autoscaled(api)
            for name in backends:
                problem = fleet.problem(name) or (fleet.waiting(name) if fleet.pods[name] else "")
                if name in scalers:
                    problem = f"autoscaler {scalers[name]!r} sets the pods of {name!r}: remove it for the rollout"
                right = await api.may("update", DEPLOYMENT, name)
                problem = f"{_proxy(api, route)}: {problem}" if problem else right
                checks.append(_check("backend", problem, f"Deployment {name!r} can be scaled"))
                if not right and name in fleet.deployments:
                    checks.append(
                        await rehearsal(api, DEPLOYMENT, [fenced(fleet.deployments[name], fleet.generation + 1)])
                    )
            problem = await api.may("update", SERVICE, route.name)
            if not problem:
                checks.append(await rehearsal(api, SERVICE, [fenced(fleet.service, fleet.generation + 1)]))
        others = {name: count for name, count in fleet.pods.items() if count and name not in backends}
        if others:
            shown = ", ".join(f"{name} {count}" for name, count in others.items())
            problem = f"other Deployments have pods behind Service {route.name!r} ({shown}): change their labels"
        checks.append(_check("service", problem, f"Service {route.name!r} selects the arms' pods"))
        return checks

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """Each Deployment's share of the pods that are asked for, and whether they are ready."""
        async with self._api(route) as api:
            fleet = await observed(api, route.name)
        late = [name for name in fleet.deployments if not fleet.observed(name)]
        if late:
            raise RouterUnreachable(f"{_proxy(api, route)}: {fleet.waiting(late[0])}")
        weights = _weights(fleet, backends)
        return RouteState(
            weights=weights, generation=fleet.generation, proxies=[_state(api, route, fleet, fleet.generation, weights)]
        )

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Scale what rises, wait for its pods, scale the rest; on the way back the rest does not wait for long.

        A write that has begun goes on when the caller is cancelled: half of it would be another split than any asked
        for. The fence keeps it from overriding a newer one.

        Raises:
            RouteUnconfirmed: the pods that are to take over are not ready yet, or the API server was lost when a part
                was written; trying again goes on from there.
        """
        pods = _pods(weights, _options(route).replicas)
        if generation < 1:
            raise RouteRejected(f"generation {generation}: generations count from 1")
        return await self._whole(self._apply(route, weights, pods, generation, restoring))

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Whether all carry the generation, and every pod that is asked for is ready."""
        async with self._api(route) as api:
            fleet = await read_fleet(api, route.name)
        try:
            proxy = _state(api, route, fleet, generation, _weights(fleet, backends))
        except RouteRejected as error:
            name = _proxy(api, route)
            detail = f"{name}: {error}"
            proxy = ProxyState(proxy=name, ok=False, generation=fleet.generation, detail=detail)
        return Confirmation(answer="yes" if proxy.ok else "no", reason=proxy.detail, proxies=[proxy])

    def _api(self, route: Route) -> AbstractAsyncContextManager[KubernetesApi]:
        return self._clusters.of(_options(route))

    async def _whole(self, write: Coroutine[Any, Any, RouteState]) -> RouteState:
        task = asyncio.create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._written)
        return await asyncio.shield(task)

    def _written(self, task: asyncio.Task[Any]) -> None:
        self._writes.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), StaleGeneration):
            # Told here: whoever asked may have been cancelled meanwhile, and hear of it no more.
            _log.warning("write refused", error=type(error).__name__, reason=str(error))

    async def _apply(
        self, route: Route, weights: Weights, pods: Mapping[str, int], generation: int, restoring: bool
    ) -> RouteState:
        async with self._api(route) as api:
            fleet = await read_fleet(api, route.name)
            there = fleet.pods
            if fleet.generation <= generation:
                rising = [name for name, count in pods.items() if count and not there.get(name)]
                problems = [fleet.problem(name) for name in rising]
                strange = [name for name, one in fleet.deployments.items() if not (name in pods or ours(one))]
                problems += [f"Deployment {name!r} has pods behind the Service too" for name in strange if there[name]]
                if any(problems):
                    raise RouteRejected("; ".join(filter(None, problems)))
            # Absolute: a Deployment we have given pods before, and that is not named now, is to have none.
            wanted = {name: pods.get(name, 0) for name, one in fleet.deployments.items() if name in pods or ours(one)}
            try:
                await claim(api, route.name, pods, generation)
                fleet = await _carry_out(api, fleet, wanted, generation, restoring)
            except Refused as error:
                raise RouteRejected(f"{error}. {await _put_back(api, fleet, list(wanted), generation)}") from error
        proxy = _state(api, route, fleet, generation, _weights(fleet, list(pods)))
        return RouteState(weights=weights, generation=generation, proxies=[proxy])


def _options(route: Route) -> KubernetesReplicasRoute:
    return options_of(route, KubernetesReplicasRoute)


def _pods(weights: Weights, total: int) -> dict[str, int]:
    """Pods by Deployment.

    Raises:
        RouteRejected: the weights are wrong, or finer than one pod.
    """
    return {name: units * total // TOTAL for name, units in weight_units(weights, 100 / total).items()}


async def _carry_out(
    api: KubernetesApi, before: Fleet, wanted: Mapping[str, int], generation: int, restoring: bool
) -> Fleet:
    """Scale each Deployment under a fence that is up already, and look at them again."""
    service, there = before.service["metadata"]["name"], before.pods
    up = [name for name, count in wanted.items() if count >= there[name]]
    down = [name for name in wanted if name not in up]
    try:
        for name in up:
            await scale(api, name, wanted[name], generation)
        if down:
            await ready(api, service, up, restoring)
        for name in down:
            await scale(api, name, wanted[name], generation)
        return await observed(api, service)
    except RouterUnreachable as error:
        # The fence is up, so this is never "nothing was written".
        raise RouteUnconfirmed(
            f"generation {generation} may have reached a part of the Deployments: {error}"
        ) from error


async def _put_back(api: KubernetesApi, before: Fleet, names: Sequence[str], generation: int) -> str:
    """Give each Deployment the pods it had, under the refused generation; says whether that worked."""
    try:
        await disclaim(api, before.service["metadata"]["name"], before.pods, generation)
        for name in names:
            await scale(api, name, before.pods[name], generation)
    except (Refused, RouterError) as error:
        return f"The pods could not all be put back: {error}"
    return f"All have the pods they had, under generation {generation}"


def _weights(fleet: Fleet, backends: Sequence[str]) -> Weights:
    """Percent by Deployment, of those that have pods and of ``backends``."""
    pods = {name: count for name, count in fleet.pods.items() if count or name in backends}
    if not sum(pods.values()):
        raise RouteRejected(f"no Deployment behind Service {fleet.service['metadata']['name']!r} has pods")
    return {**dict.fromkeys(backends, 0.0), **percents(pods)}


def _state(api: KubernetesApi, route: Route, fleet: Fleet, generation: int, weights: Weights) -> ProxyState:
    """The Service as one proxy; ``ok`` when ``generation`` is everywhere and every pod is ready."""
    name = _proxy(api, route)
    told = [f"carries generation {fleet.generation}, not {generation}"] if fleet.generation != generation else []
    for deployment, one in fleet.deployments.items():
        there = annotated_generation(one)
        if ours(one) and there < fleet.generation:
            told.append(f"Deployment {deployment!r} carries generation {there} still")
        if waiting := fleet.waiting(deployment):
            told.append(waiting)
    if fleet.half_written:
        told.append(f"its Deployments have {pods_text(fleet.pods)}, not what generation {fleet.generation} gave them")
    detail = f"{name}: {'; '.join(told)}" if told else ""
    return ProxyState(proxy=name, ok=not told, generation=fleet.generation, weights=weights, detail=detail)


def _proxy(api: KubernetesApi, route: Route) -> str:
    return f"Service {api.namespace}/{route.name}"


def _check(name: str, problem: str, fine: str) -> Check:
    return Check(ok=not problem, name=name, reason=problem or fine)
