"""Amazon Route 53: weighted records of one name and type.

Weights and generation change in one batch, which is atomic; the generation is a TXT record beside them. Route 53
compares nothing, so the fence is kept beside it and is advisory. What DNS cannot prove:
resolvers keep an answer for its TTL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from activities.aws_services import AwsServices, shared_services, telling
from activities.routers.aws_fences import LATEST, AwsFences
from activities.routers.aws_place import aws_place
from activities.routers.fences import FenceRow, fits, stale
from activities.routers.options import options_of
from activities.routers.preflight import no_dry_run
from activities.routers.route53_health import Health, health_of
from activities.routers.route53_records import (
    FINEST,
    Record,
    changes,
    longest_ttl,
    mark_name,
    mark_record,
    marked,
    plain_name,
    units_of,
    weighted,
)
from activities.routers.weights import percents, weight_units, weights_check
from coalmine.errors import RouteRejected, RouterUnreachable, StaleGeneration
from coalmine.records import Capabilities, Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.aws_routes import Route53Route
from coalmine.spec.canary import Route


@dataclass(frozen=True)
class Zone:
    """What a hosted zone holds of a route."""

    where: str
    records: Mapping[str, Record]
    generation: int

    def weights(self, backends: Sequence[str]) -> Weights:
        """Percent by set identifier; all 0 where all weights are."""
        return {**dict.fromkeys(backends, 0.0), **{name: unit / 100 for name, unit in units_of(self.records).items()}}

    @property
    def idle(self) -> str:
        """That all weights are zero, as hands may have left them; empty where one is more."""
        if any(record["Weight"] for record in self.records.values()):
            return ""
        return f"{self.where}: all weights are zero, which Route 53 takes for equal: give one more"


class Route53Router:
    """Weighted records; the hosted zone is the one proxy."""

    able = Capabilities(
        fencing="advisory", granularity=FINEST, lease=LATEST, tested_against="moto 5.2 over HTTP; never AWS, nor DNS"
    )

    def __init__(self, services: AwsServices | None = None) -> None:
        self._services = services or shared_services()
        self._fences = AwsFences(self._services)
        self._changes: dict[tuple[str, int], str] = {}

    async def capabilities(self, route: Route) -> Capabilities:
        """Advisory fence, steps of 0.5 %."""
        options_of(route, Route53Route)
        return self.able

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """One check for the weights, one for the zone, one for each record."""
        checks = [weights_check(weights, FINEST)]
        try:
            _, zone = await self._look(route)
        except RouteRejected as error:
            return [*checks, Check(ok=False, name="zone", reason=str(error))]
        if zone.idle:
            return [*checks, Check(ok=False, name="zone", reason=zone.idle)]
        strangers = [name for name, unit in units_of(zone.records).items() if unit and name not in backends]
        if strangers:
            reason = f"{zone.where}: record {strangers[0]!r} has traffic too: give it to the baseline"
            checks.append(Check(ok=False, name="zone", reason=reason))
        else:
            checks.append(Check(ok=True, name="zone", reason=f"{zone.where}: can be read; {_unproven(zone)}"))
            checks.append(no_dry_run(zone.where))
        for name in backends:
            problem, health = _unknown(zone, name), await self._health(route, zone, name)
            problem = problem or health.unhealthy or health.unread
            told = f"record {name!r} is there" + (f"; {health.told}" if health.told else "")
            checks.append(Check(ok=not problem, name="record", reason=problem or told))
        return checks

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """The records as the hosted zone holds them."""
        row, zone = await self._look(route)
        if zone.idle:
            raise RouteRejected(zone.idle)
        generation = max(row.generation, zone.generation)
        proxies = [_shown(zone, row, generation, backends)]
        return RouteState(weights=zone.weights(backends), generation=generation, proxies=proxies)

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Hold the fence and change all records in one batch; what is refused was not written."""
        options = options_of(route, Route53Route)
        units = weight_units(weights, FINEST)
        if generation < 1:
            raise RouteRejected(f"generation {generation}: generations count from 1")
        fences, key = self._fences.of(options), _key(route, options)
        row, before = await self._look(route)
        if row.generation > generation:
            raise stale(key, row, generation)
        if before.generation > generation:
            told = f"{before.where}: its TXT record says generation {before.generation}, newer than {generation}"
            raise StaleGeneration(told)
        problems = [problem for name, unit in units.items() if unit and (problem := _unknown(before, name))]
        if before.idle and not restoring:
            problems.append(before.idle)
        if row.generation < generation and not restoring:
            live = before.weights([])
            rising = [name for name, unit in units.items() if unit and not live.get(name)]
            problems += [told for name in rising if (told := (await self._health(route, before, name)).unhealthy)]
        if problems:
            raise RouteRejected("; ".join(problems))
        async with fences.raised(key, generation, percents(units)) as held:
            try:
                await held.write(lambda: self._write(route, options, units, generation))
            except RouteRejected as error:
                former = units_of(before.records)
                await held.write(lambda: self._write(route, options, former, generation))
                await held.record(before.weights([]))
                raise RouteRejected(f"{error}. The weights are as before, under generation {generation}") from error
        return await self.read(route, list(weights))

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Whether all of Route 53's servers answer with the generation's weights; resolvers follow by their TTL."""
        options = options_of(route, Route53Route)
        try:
            row, zone = await self._look(route)
            proxy = _shown(zone, row, generation, backends)
            pending = proxy.ok and not await self._is_in_sync(route, options, generation)
        except RouterUnreachable as error:
            silent = ProxyState(proxy=_where(route, options), ok=False, detail=str(error))
            return Confirmation(answer="no", reason=str(error), proxies=[silent])
        if pending:
            detail = f"{zone.where}: generation {generation} has not reached all servers of Route 53 yet"
            proxy = proxy.model_copy(update={"ok": False, "detail": detail})
        if not proxy.ok:
            return Confirmation(answer="no", reason=proxy.detail, proxies=[proxy])
        return Confirmation(answer="yes", reason=_unproven(zone), proxies=[proxy])

    async def _look(self, route: Route) -> tuple[FenceRow, Zone]:
        options = options_of(route, Route53Route)
        row, zone = await asyncio.gather(
            self._fences.of(options).read(_key(route, options)), self._zone(route, options)
        )
        return row, zone

    async def _zone(self, route: Route, options: Route53Route) -> Zone:
        found, marks = await asyncio.gather(
            self._records(options, route.name, options.type),
            self._records(options, mark_name(route.name, options.type), "TXT"),
        )
        where = _where(route, options)
        return Zone(where, weighted(found, where), marked(marks, where))

    async def _health(self, route: Route, zone: Zone, name: str) -> Health:
        place = aws_place(options_of(route, Route53Route))
        return await health_of(self._services, place, name, zone.records.get(name, {}))

    async def _records(self, options: Route53Route, name: str, kind: str) -> list[Record]:
        """All of one name and type: a name may have at most 100 of them, which is one page."""
        asked = {"HostedZoneId": options.zone, "StartRecordName": name, "StartRecordType": kind, "MaxItems": "100"}
        told = await self._ask(options, "list_resource_record_sets", **asked)
        wanted = plain_name(name)
        return [one for one in told["ResourceRecordSets"] if one["Type"] == kind and plain_name(one["Name"]) == wanted]

    async def _write(self, route: Route, options: Route53Route, units: Mapping[str, int], generation: int) -> None:
        """Write also what is there already: a repeat by another worker needs a change of its own to wait for."""
        zone = await self._zone(route, options)
        batch = changes(zone.records, units, mark_record(route.name, options.type, generation))
        told = await self._ask(
            options, "change_resource_record_sets", HostedZoneId=options.zone, ChangeBatch={"Changes": batch}
        )
        self._changes = {(_key(route, options), generation): told["ChangeInfo"]["Id"], **self._others(route, options)}

    def _others(self, route: Route, options: Route53Route) -> dict[tuple[str, int], str]:
        key = _key(route, options)
        return {known: change for known, change in self._changes.items() if known[0] != key}

    async def _is_in_sync(self, route: Route, options: Route53Route, generation: int) -> bool:
        """A change another worker made is known to it alone: what is read back has to do."""
        change = self._changes.get((_key(route, options), generation))
        if change is None:
            return True
        told = await self._ask(options, "get_change", Id=change)
        return bool(told["ChangeInfo"]["Status"] == "INSYNC")

    async def _ask(self, options: Route53Route, operation: str, **arguments: Any) -> dict[str, Any]:
        with telling(RouteRejected, RouterUnreachable, f"zone {options.zone}"):
            return await self._services.ask(aws_place(options), "route53", operation, **arguments)


def _where(route: Route, options: Route53Route) -> str:
    return f"{options.type} {plain_name(route.name)}"


def _key(route: Route, options: Route53Route) -> str:
    return f"aws-route53/{options.zone}/{options.type}/{plain_name(route.name)}"


def _unknown(zone: Zone, name: str) -> str:
    known = ", ".join(zone.records)
    return (
        "" if name in zone.records else f"{zone.where}: does not know record {name!r} (known: {known}): make it first"
    )


def _unproven(zone: Zone) -> str:
    """What stays open when all of Route 53 agrees."""
    ttl = longest_ttl(zone.records)
    kept = "the TTL of the alias' target" if ttl is None else f"{ttl} s"
    return f"resolvers may keep an older answer for {kept}, and some for longer: DNS cannot tell"


def _shown(zone: Zone, row: FenceRow, generation: int, backends: Sequence[str]) -> ProxyState:
    """The zone; ``ok`` when it shows ``generation`` with the weights that belong to it."""
    detail, weights = "", zone.weights(backends)
    if zone.generation != generation or row.generation > generation:
        newest = max(zone.generation, row.generation) if row.generation > generation else zone.generation
        detail = f"{zone.where}: shows generation {newest}, not {generation}"
    elif zone.idle:
        detail = zone.idle
    elif generation and row.generation == generation and not fits(row, weights):
        detail = f"{zone.where}: shows generation {generation} with other weights than were written"
    return ProxyState(proxy=zone.where, ok=not detail, generation=zone.generation, weights=weights, detail=detail)
