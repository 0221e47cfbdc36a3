"""Temporal's own workers: a new build is given a share of new workflows by the deployment's ramping percentage.

Fencing is strict: a write carries the token of what was read, and is refused when anybody has written since. Measured
behaviour this rests on: docs/temporal-workers.md.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from pydantic import ValidationError
from temporalio.client import Client

from activities.routers.temporal_deployment import (
    Change,
    Deployment,
    DeploymentCalls,
    TokenOutdated,
)
from activities.routers.temporal_preflight import (
    build_check,
    deployment_check,
    managed_elsewhere,
    unknown_build,
    weights_check,
)
from activities.routers.temporal_queues import queues_behind, workers_of
from activities.routers.weights import weight_units
from activities.temporal_services import Place, TemporalServices
from coalmine.errors import (
    CoalmineError,
    InputError,
    RouteRejected,
    RouterError,
    RouterUnreachable,
    RouteUnconfirmed,
    StaleGeneration,
)
from coalmine.records import Capabilities, Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.canary import Route
from coalmine.spec.temporal_routes import TemporalWorkerRoute
from coalmine.telemetry.spans import span

ATTEMPTS = 12
"""How often a write is begun anew because somebody else was quicker."""


class TemporalWorkerRouter:
    """Worker deployments of Temporal. The server is the one proxy: it deals new workflows out itself."""

    able = Capabilities(
        fencing="strict",
        granularity=0.01,
        confirm=True,
        tested_against="Temporal dev server 1.32 (CLI 1.9.1), real workers",
    )

    def __init__(self) -> None:
        self._services = TemporalServices()
        self._turns: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def capabilities(self, route: Route) -> Capabilities:
        """Strict fence, steps of 0.01 %, read back."""
        temporal_options(route)
        return self.able

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """One check for the weights, one for the deployment, one a build."""
        checks = [weights_check(weights)]
        try:
            calls = await self._calls(route)
            found = await calls.read(backends)
            checks.append(deployment_check(route.name, found, backends))
            known = [build for build in backends if build in found.builds]
            workers = dict(
                zip(
                    known,
                    await asyncio.gather(*(workers_of(calls.client, route.name, one) for one in known)),
                    strict=True,
                )
            )
        except RouterError as error:
            return [*checks, Check(ok=False, name="deployment", reason=str(error))]
        checks += [unknown_build(route.name, build) for build in backends if build not in found.builds]
        checks += [build_check(one, workers.get(found.current)) for one in workers.values()]
        return checks

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """What the server deals out now, and the highest generation it remembers."""
        calls = await self._calls(route)
        found = await calls.read(backends)
        weights = found.weights(backends)
        proxy = ProxyState(proxy=place_of(calls.client), ok=True, generation=found.generation, weights=weights)
        return RouteState(weights=weights, generation=found.generation, proxies=[proxy])

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Read, compare, write under the token that was read; begin anew when somebody was quicker.

        When ``restoring``, workers are not asked for: what comes to a build without any waits for them and does not
        fail, and a bad build must not keep its share meanwhile.
        """
        units = weight_units(weights)
        wanted = {build: share for build, share in units.items() if share}
        if len(wanted) > 2:
            raise RouteRejected(f"{len(wanted)} builds have a weight: Temporal ramps one beside the current one")
        if generation < 1:
            raise RouteRejected(f"generation {generation}: generations count from 1")
        calls = await self._calls(route)
        for _ in range(ATTEMPTS):
            found = await calls.read(units)
            _refuse_stale(found, wanted, generation)
            if found.finished and found.written == generation:
                break
            await _refuse_unfit(calls, found, list(wanted), restoring=restoring)
            try:
                await _write(calls, found, found.changes_to(units), generation)
            except TokenOutdated:
                continue
            break
        else:
            raise RouteUnconfirmed(
                f"{route.name}: others keep changing the deployment, {ATTEMPTS} writes came too late"
            )
        if found.kept < generation:
            await calls.remember(found.builds & units.keys(), generation, weights)
        shown = ProxyState(proxy=place_of(calls.client), ok=True, generation=generation, weights=weights)
        return RouteState(weights=weights, generation=generation, proxies=[shown])

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """The last change was ours, under this generation, and every task queue has it."""
        calls = await self._calls(route)
        place = place_of(calls.client)
        try:
            found = await calls.read(backends)
            behind = await queues_behind(calls.client, found, route.name, backends)
        except RouterUnreachable as error:
            reason = f"{place}: {error}"
            return Confirmation(answer="no", reason=reason, proxies=[ProxyState(proxy=place, ok=False, detail=reason)])
        reason = ""
        if found.generation != generation:
            newer = "the newer " if found.generation > generation else ""
            reason = f"{place}: shows {newer}generation {found.generation}, not {generation}"
        elif found.written != generation:
            reason = f"{place}: {found.identity!r} has changed the routing since generation {generation}"
        elif not found.finished:
            reason = f"{place}: generation {generation} is written in part"
        elif behind:
            reason = f"{place}: not yet under generation {generation}: {', '.join(behind)}"
        weights = found.weights(backends)
        proxy = ProxyState(proxy=place, ok=not reason, generation=found.generation, weights=weights, detail=reason)
        return Confirmation(answer="no" if reason else "yes", reason=reason, proxies=[proxy])

    async def _calls(self, route: Route) -> DeploymentCalls:
        options = temporal_options(route)
        try:
            client = await self._services.client(Place(options.address, options.namespace, options.profile))
        except InputError as error:
            raise RouteRejected(f"route.profile: {error}") from error
        except CoalmineError as error:
            raise RouterUnreachable(str(error)) from error
        return DeploymentCalls(client, route.name, self._turns[place_of(client), route.name])


def temporal_options(route: Route) -> TemporalWorkerRoute:
    """The route's own keys.

    Raises:
        RouteRejected: one is unknown or wrong.
    """
    try:
        return TemporalWorkerRoute.model_validate(route.options)
    except ValidationError as error:
        problems = [".".join(("route", *map(str, one["loc"]))) + f": {one['msg']}" for one in error.errors()]
        raise RouteRejected("; ".join(problems)) from error


def place_of(client: Client) -> str:
    """What the one proxy is called: the server and the namespace."""
    return f"{client.service_client.config.target_host}/{client.namespace}"


async def _refuse_unfit(calls: DeploymentCalls, found: Deployment, builds: Sequence[str], *, restoring: bool) -> None:
    """Refuse before anything is written what the server would take, and workflows would suffer for."""
    problems = [unknown_build(calls.name, build).reason for build in builds if build not in found.builds]
    if found.manager:
        problems.append(managed_elsewhere(calls.name, found.manager))
    if not problems and not restoring:
        asked = await asyncio.gather(*(workers_of(calls.client, calls.name, build) for build in builds))
        problems = [workers.problem for workers in asked if workers.problem]
    if problems:
        raise RouteRejected("; ".join(problems))


async def _write(calls: DeploymentCalls, found: Deployment, changes: Sequence[Change], generation: int) -> None:
    """Make the changes one after the other; after a refusal, write what was there before under the generation.

    Raises:
        TokenOutdated: somebody was quicker.
        RouteRejected, RouterUnreachable: as ``apply``.
    """
    token, done = found.token, 0
    with span("temporal.write", deployment=calls.name, generation=generation, writes=len(changes)):
        try:
            for done, one in enumerate(changes):
                token = await calls.change(one, token, generation, last=done + 1 == len(changes))
            return
        except RouteRejected as error:
            refusal = error
    back = [*([Change(found.current)] if done else []), Change(found.ramping, found.percent)]
    try:
        for number, one in enumerate(back, 1):
            token = await calls.change(one, token, generation, last=number == len(back))
        await calls.remember(found.builds & found.shares.keys(), generation, found.weights(()))
    except RouterError as error:
        raise RouteRejected(f"{refusal}. The last good routing could not be put back: {error}") from error
    raise RouteRejected(f"{refusal}. The routing is as it was before, under generation {generation}") from refusal


def _refuse_stale(found: Deployment, wanted: dict[str, int], generation: int) -> None:
    if generation < found.generation:
        raise StaleGeneration(f"generation {generation} is older than {found.generation}, which the deployment has")
    whole = found.written != generation or found.finished
    if generation == found.generation and found.shares != wanted and whole:
        raise StaleGeneration(f"generation {generation} is there already with other weights: {found.routing}")
