"""Envoy by route file: weights are written into the file its ``rds`` watches, and read back from every proxy's admin.

No server of ours stands between: proxies keep their route when the worker is gone, and read it again when they restart.
Measured behaviour this rests on: docs/envoy.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from activities.routers.envoy_admin import EnvoyAdmin, Shown, Silent, admin_session
from activities.routers.envoy_document import Reading
from activities.routers.envoy_files import RouteFiles, WriteResult, is_written
from activities.routers.envoy_preflight import Preflight, look_first, named, refusals, route_checks
from activities.routers.envoy_routes import agreed_weights
from activities.routers.envoy_users import Users
from activities.routers.envoy_watch import Took, Watched, watch
from activities.routers.weights import TOTAL, weight_units
from coalmine.errors import RouteRejected, RouterError, RouterUnreachable, RouteUnconfirmed
from coalmine.records import Capabilities, Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.canary import Route
from coalmine.spec.routes import EnvoyRoute
from coalmine.telemetry.spans import span

SETTLE = 0.02
"""Seconds from the moment a proxy shows a route until its worker threads use it: measured 2-3 ms at the median."""


class EnvoyRouter:
    """Envoys whose route comes from files on the worker's host. Fencing is strict there: lock, compare, rename."""

    able = Capabilities(
        fencing="strict",
        granularity=0.01,
        confirm=True,
        header_match=True,
        cookie_match=True,
        mirror=True,
        stickiness=True,
        tested_against="Envoy 1.40, real processes",
    )

    def __init__(self, settle: float = SETTLE) -> None:
        self._settle = settle
        self._files = RouteFiles()

    async def capabilities(self, route: Route) -> Capabilities:
        """Strict fence, steps of 0.01 %, every proxy read back."""
        envoy_options(route)
        return self.able

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """One check for the weights, one a file, one a proxy."""
        options = envoy_options(route)
        readings, failed = await self._read_files(options, route.name)
        users = _users(options)
        even = dict.fromkeys(backends, TOTAL // max(len(backends), 1))
        rehearsed = await asyncio.to_thread(self._files.rehearse, list(readings), route.name, even, users)
        async with admin_session() as session:
            admin = EnvoyAdmin(session)
            looks = await look_first(admin, options.admins, route.name, named(readings, backends, users))
            shown, _ = await _shown(admin, options.admins, route.name)
        return route_checks(
            route.name, backends, weights, readings, failed, looks, shown, users=users, rehearsed=rehearsed
        )

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """The newest file's weights, the highest generation of files and proxies, and what every proxy shows."""
        options = envoy_options(route)
        readings, failed = await self._read_files(options, route.name)
        for error in failed.values():
            raise error
        newest = max(readings.values(), key=lambda reading: reading.version.generation)
        weights = agreed_weights(newest.splits, backends, route.name)
        async with admin_session() as session:
            shown, silent = await _shown(EnvoyAdmin(session), options.admins, route.name)
        if silent:
            raise RouterUnreachable("; ".join(silent.values()))
        proxies = [
            _proxy_state(proxy, shown[proxy], readings, newest.version.generation, backends, route.name)
            for proxy in options.admins
        ]
        generation = max(newest.version.generation, *(proxy.generation for proxy in proxies))
        return RouteState(weights=weights, generation=generation, proxies=proxies)

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Look at every proxy, write every file, watch the proxies take it; put the files back after a refusal."""
        options = envoy_options(route)
        users = _users(options)
        units = weight_units(weights)
        if generation < 1:
            raise RouteRejected(f"generation {generation}: generations count from 1")
        readings, failed = await self._read_files(options, route.name)
        there = [is_written(reading, units, generation) for reading in readings.values()]
        if failed and not readings:
            raise _one_of(failed)
        state = RouteState(weights=weights, generation=generation)
        if all(there) and not failed:
            return state
        async with admin_session() as session:
            admin = EnvoyAdmin(session)
            looks = await look_first(admin, options.admins, route.name, named(readings, list(units), users))
            problems = refusals(readings, looks, units, users, restoring=restoring)
            if problems:
                raise RouteRejected("; ".join(problems))
            with span("envoy.write", route=route.name, generation=generation, files=len(options.files)) as marks:
                result = await asyncio.to_thread(self._files.write, options.files, route.name, units, generation, users)
                marks.set(written=len(result.readings), failed=len(result.failed))
            with span("envoy.watch", route=route.name, generation=generation, proxies=len(options.admins)):
                watched = await self._watch(admin, route.name, result, generation, looks) if result.readings else []
        if result.failed and not result.readings:
            raise _one_of(result.failed)
        if result.failed:
            reasons = "; ".join(str(error) for error in result.failed.values())
            raise RouteUnconfirmed(f"generation {generation} is not in every file: {reasons}")
        silent = [Watched(proxy, Took.WAITING, look.silent) for proxy, look in looks.items() if look.silent]
        state.proxies = [_watched_state(one, list(units), route.name) for one in [*watched, *silent]]
        return state

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Every file holds the generation, and every proxy shows the version and the weights of a file."""
        options = envoy_options(route)
        readings, failed = await self._read_files(options, route.name)
        async with admin_session() as session:
            shown, silent = await _shown(EnvoyAdmin(session), options.admins, route.name)
        proxies = [
            ProxyState(proxy=proxy, ok=False, detail=silent[proxy])
            if proxy in silent
            else _proxy_state(proxy, shown[proxy], readings, generation, backends, route.name)
            for proxy in options.admins
        ]
        wrong = [str(error) for error in failed.values()]
        wrong += [
            f"{path}: holds generation {reading.version.generation}, not {generation}"
            for path, reading in readings.items()
            if reading.version.generation != generation
        ]
        wrong += [proxy.detail for proxy in proxies if not proxy.ok]
        if wrong:
            return Confirmation(answer="no", reason="; ".join(wrong), proxies=proxies)
        # Its main thread shows a route before its worker threads use it, and says nothing of them.
        await asyncio.sleep(self._settle)
        return Confirmation(answer="yes", proxies=proxies)

    async def _read_files(self, options: EnvoyRoute, name: str) -> tuple[dict[str, Reading], dict[str, RouterError]]:
        return await asyncio.to_thread(self._files.read_all, options.files, name)

    async def _watch(
        self, admin: EnvoyAdmin, name: str, result: WriteResult, generation: int, looks: Mapping[str, Preflight]
    ) -> list[Watched]:
        """Watch the proxies that answered before the write until each has taken the route or refused it.

        Raises:
            RouteRejected: one refused it; the files are as they were, under the refused generation.
        """
        before = {proxy: look.updates for proxy, look in looks.items() if not look.silent}
        watched = await watch(admin, name, result.readings, before)
        refused = "; ".join(one.detail for one in watched if one.took is Took.REFUSED)
        if not refused:
            return watched
        try:
            back = await asyncio.to_thread(self._files.put_back, result.written, name, generation)
        except RouterError as error:
            raise RouteRejected(f"{refused}. The last good file could not be put back: {error}") from error
        if not back:
            raise RouteRejected(f"{refused}. Somebody has written the file since: it stays as it is")
        after = await watch(admin, name, back, {one.proxy: one.updates for one in watched})
        missing = [one.proxy for one in after if one.took is not Took.SHOWN]
        mend = f", which {', '.join(missing)} did not take either: mend the file by hand" if missing else ""
        raise RouteRejected(f"{refused}. The route is as it was before, under generation {generation}{mend}")


def envoy_options(route: Route) -> EnvoyRoute:
    """The route's own keys.

    Raises:
        RouteRejected: one is missing, unknown or wrong.
    """
    try:
        return EnvoyRoute.model_validate(route.options)
    except ValidationError as error:
        problems = [f"route.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise RouteRejected("; ".join(problems)) from error


def _users(options: EnvoyRoute) -> Users:
    return Users(options.sticky, options.testers, options.mirror)


async def _shown(admin: EnvoyAdmin, proxies: Sequence[str], name: str) -> tuple[dict[str, Shown], dict[str, str]]:
    """What the proxies show that answered, and why the others did not."""
    silent: dict[str, str] = {}
    shown: dict[str, Shown] = {}

    async def ask(proxy: str) -> None:
        try:
            shown[proxy] = await admin.shown(proxy, name)
        except Silent as error:
            silent[proxy] = str(error)

    await asyncio.gather(*(ask(proxy) for proxy in proxies))
    return shown, silent


def _proxy_state(
    proxy: str, shown: Shown, readings: Mapping[str, Reading], generation: int, backends: Sequence[str], name: str
) -> ProxyState:
    """What one proxy shows; ``ok`` when that is ``generation``, with the weights of a file."""
    detail = ""
    weights: Weights = {}
    if shown.version is None:
        detail = f"{proxy}: has no route {name!r}"
    else:
        try:
            weights = agreed_weights(shown.splits, backends, name)
        except RouteRejected as error:
            detail = f"{proxy}: {error}"
        if shown.generation > generation:
            detail = f"{proxy}: shows the newer generation {shown.generation}"
        elif shown.generation < generation:
            detail = f"{proxy}: shows generation {shown.generation}, not {generation}"
        elif not any(one.version == shown.version and one.splits == shown.splits for one in readings.values()):
            detail = f"{proxy}: shows generation {generation} with other weights than its file"
    return ProxyState(proxy=proxy, ok=not detail, generation=shown.generation, weights=weights, detail=detail)


def _watched_state(watched: Watched, backends: Sequence[str], name: str) -> ProxyState:
    weights: Weights = {}
    if watched.took is Took.SHOWN and watched.shown is not None:
        weights = agreed_weights(watched.shown.splits, backends, name)
    generation = watched.shown.generation if watched.shown else 0
    ok = watched.took is Took.SHOWN
    return ProxyState(proxy=watched.proxy, ok=ok, generation=generation, weights=weights, detail=watched.detail)


def _one_of(errors: Mapping[str, RouterError]) -> RouterError:
    """All reasons under the class of the first that asking again could mend, else of the first."""
    first = next((error for error in errors.values() if error.retryable), next(iter(errors.values())))
    return type(first)("; ".join(str(error) for error in errors.values()))
