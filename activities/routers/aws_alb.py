"""AWS ALB: weighted target groups of listeners and rules.

ELBv2 takes a write from anyone who may write, so the fence is kept beside it and is advisory. The truth is read back
each time: weights from the listener or rule itself, and the generation from a tag that is written after them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

from activities.aws_services import AwsServices, shared_services
from activities.routers.alb_actions import FINEST, stickiness
from activities.routers.alb_places import AlbPlaces, Place, first_of
from activities.routers.aws_fences import LATEST, AwsFences
from activities.routers.aws_place import aws_place
from activities.routers.fences import FenceRow, fits, stale
from activities.routers.options import options_of
from activities.routers.preflight import no_dry_run
from activities.routers.weights import percents, weight_units, weights_check
from coalmine.errors import RouteRejected, RouterUnreachable, RouteUnconfirmed, StaleGeneration
from coalmine.records import Capabilities, Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.aws_routes import AlbRoute
from coalmine.spec.canary import Route


class AlbRouter:
    """Listeners and rules of application load balancers, each a proxy of its own: they are written one by one."""

    able = Capabilities(
        fencing="advisory", granularity=FINEST, lease=LATEST, tested_against="moto 5.2 over HTTP; never AWS"
    )

    def __init__(self, services: AwsServices | None = None) -> None:
        self._services = services or shared_services()
        self._fences = AwsFences(self._services)

    async def capabilities(self, route: Route) -> Capabilities:
        """Advisory fence, steps of 0.1 %."""
        options_of(route, AlbRoute)
        return self.able

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """One check for the weights, one for each listener or rule, one for each target group."""
        options = options_of(route, AlbRoute)
        plane = self._plane(options)
        checks = [weights_check(weights, FINEST)]
        try:
            await self._fences.of(options).read(_key(route, options))
            places, silent = await plane.read_all(options.places)
            groups = await plane.resolve(backends, places.values())
        except RouteRejected as error:
            return [*checks, Check(ok=False, name="route", reason=str(error))]
        checks += [Check(ok=False, name="place", reason=str(error)) for error in silent.values()]
        checks += [_place_check(place, backends) for place in places.values()]
        checks += [no_dry_run(arn) for arn in places]
        for name in backends:
            problem = await plane.problem(name, groups)
            checks.append(Check(ok=not problem, name="target group", reason=problem or f"{name!r} has healthy targets"))
        return checks

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """Every listener and rule; the weights are those of the newest."""
        options = options_of(route, AlbRoute)
        row, places, silent = await self._look(route, options)
        if silent:
            raise RouterUnreachable(first_of(silent))
        if idle := [place.idle for place in places.values() if place.idle]:
            raise RouteRejected("; ".join(idle))
        newest = max(places.values(), key=lambda place: place.generation)
        generation = max(row.generation, newest.generation)
        proxies = [_shown(place, row, generation, backends) for place in places.values()]
        return RouteState(weights=_weights(newest, backends), generation=generation, proxies=proxies)

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Hold the fence, write every listener and rule that answers, and put them back after a refusal."""
        options = options_of(route, AlbRoute)
        units = weight_units(weights, FINEST)
        if generation < 1:
            raise RouteRejected(f"generation {generation}: generations count from 1")
        plane, fences, key = self._plane(options), self._fences.of(options), _key(route, options)
        row = await fences.read(key)
        if row.generation > generation:
            raise stale(key, row, generation)
        before, silent = await plane.read_all(options.places)
        if not before:
            raise RouterUnreachable(first_of(silent))
        tagged = max(before.values(), key=lambda place: place.generation)
        if tagged.generation > generation:
            raise StaleGeneration(f"{tagged.arn}: its tag says generation {tagged.generation}, newer than {generation}")
        if not restoring and (idle := [place.idle for place in before.values() if place.idle]):
            raise RouteRejected("; ".join(idle))
        live = [name for name, unit in units.items() if unit]
        groups = await plane.resolve(live, before.values())
        if row.generation < generation:
            rising = [name for name in live if any(name not in place.live for place in before.values())]
            problems = [problem for name in rising if (problem := await plane.problem(name, groups))]
            if problems:
                raise RouteRejected("; ".join(problems))
        async with fences.raised(key, generation, percents(units)) as held:
            try:
                wanted = dict.fromkeys(options.places, units)
                await held.write(lambda: _write(plane, wanted, groups, generation))
            except RouteRejected as error:
                former = {arn: place.units for arn, place in before.items()}
                await held.write(lambda: _write(plane, former, groups, generation))
                await held.record(_weights(next(iter(before.values())), []))
                raise RouteRejected(f"{error}. The weights are as before, under generation {generation}") from error
        return await self.read(route, list(weights))

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Whether every listener and rule shows the generation and its weights.

        The nodes of the load balancer follow within seconds, of which ELBv2 shows nothing.
        """
        options = options_of(route, AlbRoute)
        row, places, silent = await self._look(route, options)
        proxies = [
            ProxyState(proxy=arn, ok=False, detail=str(silent[arn]))
            if arn in silent
            else _shown(places[arn], row, generation, backends)
            for arn in options.places
        ]
        wrong = [proxy.detail for proxy in proxies if not proxy.ok]
        return Confirmation(answer="no" if wrong else "yes", reason="; ".join(wrong), proxies=proxies)

    async def _look(
        self, route: Route, options: AlbRoute
    ) -> tuple[FenceRow, dict[str, Place], dict[str, RouterUnreachable]]:
        row, (places, silent) = await asyncio.gather(
            self._fences.of(options).read(_key(route, options)), self._plane(options).read_all(options.places)
        )
        return row, places, silent

    def _plane(self, options: AlbRoute) -> AlbPlaces:
        return AlbPlaces(self._services, aws_place(options))


async def _write(
    plane: AlbPlaces, wanted: Mapping[str, Mapping[str, int]], groups: Mapping[str, str], generation: int
) -> None:
    """Write units into listeners and rules as they are at this moment.

    Raises:
        RouteRejected: one refused them.
        RouteUnconfirmed: not all answered.
        RouterUnreachable: none did.
    """
    places, silent = await plane.read_all(wanted)

    async def write(place: Place) -> None:
        try:
            await plane.write(place, wanted[place.arn], groups, generation)
        except RouterUnreachable as error:
            silent[place.arn] = error

    answers = await asyncio.gather(*(write(place) for place in places.values()), return_exceptions=True)
    for answer in answers:
        if answer is not None:
            raise answer
    if silent:
        told = first_of(silent)
        raise RouteUnconfirmed(told) if len(silent) < len(wanted) else RouterUnreachable(told)


def _key(route: Route, options: AlbRoute) -> str:
    """Of the fence: the same for all workers, and for no other listeners and rules."""
    places = hashlib.sha256("\n".join(sorted(options.places)).encode()).hexdigest()[:16]
    return f"aws-alb/{route.name}/{places}"


def _weights(place: Place, backends: Sequence[str]) -> Weights:
    shares = percents(place.units) if place.live else dict.fromkeys(place.units, 0.0)
    return {**dict.fromkeys(backends, 0.0), **shares}


def _shown(place: Place, row: FenceRow, generation: int, backends: Sequence[str]) -> ProxyState:
    """One listener or rule; ``ok`` when it shows ``generation`` with the weights that belong to it."""
    detail, weights = "", _weights(place, backends)
    if place.generation != generation or row.generation > generation:
        newest = max(place.generation, row.generation) if row.generation > generation else place.generation
        detail = f"{place.arn}: shows generation {newest}, not {generation}"
    elif place.idle:
        detail = place.idle
    elif generation and row.generation == generation and not fits(row, weights):
        detail = f"{place.arn}: shows generation {generation} with other weights than were written"
    return ProxyState(proxy=place.arn, ok=not detail, generation=place.generation, weights=weights, detail=detail)


def _place_check(place: Place, backends: Sequence[str]) -> Check:
    if place.idle:
        return Check(ok=False, name="place", reason=place.idle)
    strangers = [name for name in place.live if name not in backends]
    if strangers:
        reason = f"{place.arn}: target group {strangers[0]!r} has traffic too: give it to the baseline"
        return Check(ok=False, name="place", reason=reason)
    sticky = stickiness(place.actions, place.arn)
    told = f"; users stay with their arm for up to {sticky} s, also after a rollback" if sticky else ""
    return Check(ok=True, name="place", reason=f"{place.arn}: can be read{told}")
