"""The router of every data plane whose route is written somewhere and read back from proxies: the order of a write.

Look at every proxy, write under the fence, see the proxies take it. Where the route lies (files, a control plane) and
what is asked of proxies is said by subclasses.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Generic

from activities.routers.preflight import Preflight, check_of, ejections, file_problems, named, refusals, seen, unhealthy
from activities.routers.proxy_places import Options, Places
from activities.routers.proxy_states import Asked, one_of, proxy_state, watched_state
from activities.routers.route_files import WriteResult, is_written
from activities.routers.splits import PLAIN, Reading, Shown, Silent, Terms, Version, agreed_weights, meddled
from activities.routers.watching import Took, Watched
from activities.routers.weights import TOTAL, weight_units, weights_check
from coalmine.errors import RouteRejected, RouterError, RouterUnreachable, RouteUnconfirmed
from coalmine.records import DRY_RUN, Capabilities, Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.canary import Route


class ProxyRouter(ABC, Generic[Options]):
    """Subclasses say where the route is, how it is written there, and ask its proxies."""

    able: Capabilities
    plane: str
    """What the data plane is called, for spans."""
    place = "route file"
    """What the route is written into, for checks."""
    settle = 0.0
    """Seconds between a proxy's showing a route and all its workers' using it."""
    told_apart = False
    """Whether anybody can tell proxies other weights than were written."""

    def __init__(self, terms: Terms = PLAIN) -> None:
        self._terms = terms

    @abstractmethod
    def places(self, route: Route) -> Places[Options]:
        """Where the route is, as its keys say it.

        Raises:
            RouteRejected: a key of the route is wrong; names each.
        """

    async def located(self, route: Route) -> Places[Options]:
        """Where the route is; what only the data plane knows of that, its proxies, is asked here."""
        return self.places(route)

    @abstractmethod
    async def readings(self, places: Places[Options]) -> tuple[dict[str, Reading], dict[str, RouterError]]:
        """What is written in each place that could be read, and why the others could not."""

    @abstractmethod
    async def rehearsed(
        self, places: Places[Options], readings: Mapping[str, Reading], units: Mapping[str, int]
    ) -> Mapping[str, str]:
        """Everything a write does but the write; by place, why it would fail."""

    @abstractmethod
    async def written(
        self, places: Places[Options], units: Mapping[str, int], generation: int, preflights: Mapping[str, Preflight]
    ) -> tuple[WriteResult, Sequence[Watched]]:
        """Write under the fence, and what the proxies that answered did with it.

        Raises:
            StaleGeneration: a newer generation is there, or this one with other weights.
            RouteRejected: a proxy refused it; what was there before is there, under the refused generation.
            RouterUnreachable: nothing is known to have been written.
        """

    @abstractmethod
    async def preflight(self, places: Places[Options], backends: Collection[str]) -> Mapping[str, Preflight]:
        """Every proxy before a write, with those of these backends it knows; silent after ``preflight.PATIENCE``."""

    @abstractmethod
    async def shown(self, places: Places[Options], proxy: str) -> Shown:
        """The route as one proxy has it.

        Raises:
            Silent: no answer, or not one of this kind of proxy.
        """

    async def told(
        self, places: Places[Options], readings: Mapping[str, Reading], generation: int, *, restoring: bool = False
    ) -> bool:
        """Whether the proxies know of what is written, where writing alone does not tell them.

        Raises:
            StaleGeneration: one shows a newer generation.
        """
        return True

    def route_problems(
        self, places: Places[Options], proxy: str, shown: Shown | None, before: Preflight, versions: Collection[Version]
    ) -> list[str]:
        """What is wrong with the route as a proxy shows it (None: it did not answer)."""
        if shown is None:
            return []
        if shown.version is None:
            return [f"{proxy}: does not have route {places.name!r}"]
        if shown.version not in versions:
            return [
                f"{proxy}: uses the route as {shown.version.text!r}, which is in no route file: let it load the file"
            ]
        return []

    async def capabilities(self, route: Route) -> Capabilities:
        """The same for every route."""
        self.places(route)
        return self.able

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """One check for the weights, two a place (one is a dry run), one a proxy."""
        places = await self.located(route)
        readings, failed = await self.readings(places)
        half = dict.fromkeys(backends, TOTAL // max(len(backends), 1))
        rehearsed = await self.rehearsed(places, readings, half)
        preflights = await seen(lambda: self.preflight(places, named(readings, backends, places.besides)))
        shown, unseen = await self._all_shown(places)
        if unseen:
            # Nobody waits for a check, and a busy machine may not let a proxy answer that soon.
            shown, unseen = await self._all_shown(places)
        checks = [weights_check(weights)]
        checks += [Check(ok=False, name=self.place, reason=str(error)) for error in failed.values()]
        for path, reading in readings.items():
            problems = file_problems(places.name, reading, backends, self._terms)
            checks.append(check_of(self.place, problems, f"{path}: holds route {places.name!r}"))
            if not problems:
                told = [rehearsed[path]] if path in rehearsed else []
                checks.append(check_of(DRY_RUN, told, f"{path}: can be written, every step of it"))
        versions = {reading.version for reading in readings.values()}
        even = dict.fromkeys(backends, 1)
        for proxy, before in preflights.items():
            problems = (
                [before.silent]
                if before.silent
                else refusals(readings, {proxy: before}, even, places.besides, self._terms)
            )
            if not before.silent:
                problems += unhealthy(proxy, before, [*backends, *places.besides.served], self._terms)
                problems += self.route_problems(places, proxy, shown.get(proxy), before, versions)
                # It answers, and not what it shows: no write to it could be confirmed.
                problems += [unseen[proxy]] if proxy in unseen else []
            fine = "; ".join([f"{proxy}: serves route {places.name!r}", *ejections(before), *before.notes])
            checks.append(check_of("proxy", list(dict.fromkeys(problems)), fine))
        return checks

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """The newest weights that are written, the highest generation there and at proxies, and what every proxy shows.

        Where one was told other weights past what is written, those are the route's.
        """
        places = await self.located(route)
        readings, failed = await self.readings(places)
        for error in failed.values():
            raise error
        newest = max(readings.values(), key=lambda reading: reading.version.generation)
        weights = agreed_weights(newest.splits, backends, places.name, self._terms)
        asked = Asked(places.name, backends, self._terms)
        shown, silent = await self._all_shown(places)
        if silent:
            raise RouterUnreachable("; ".join(silent.values()))
        proxies = [
            proxy_state(proxy, shown[proxy], readings, newest.version.generation, asked) for proxy in places.proxies
        ]
        if self.told_apart:
            told = (one.weights for one in proxies if not one.ok and one.generation >= newest.version.generation)
            weights = next((other for other in told if other), weights)
        generation = max(newest.version.generation, *(proxy.generation for proxy in proxies))
        return RouteState(weights=weights, generation=generation, proxies=proxies)

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Look at every proxy, write everywhere, see the proxies take it; what was there is back after a refusal."""
        units = weight_units(weights)
        if generation < 1:
            raise RouteRejected(f"generation {generation}: generations count from 1")
        places = await self.located(route)
        readings, failed = await self.readings(places)
        there = [is_written(reading, units, generation) for reading in readings.values()]
        if failed and not readings:
            raise one_of(failed)
        state = RouteState(weights=weights, generation=generation)
        told = await self.told(places, readings, generation, restoring=restoring)
        if all(there) and not failed and told:
            return state
        needed = named(readings, list(units), places.besides)
        preflights = await seen(lambda: self.preflight(places, needed), restoring=restoring)
        problems = refusals(readings, preflights, units, places.besides, self._terms, restoring=restoring)
        if problems:
            raise RouteRejected("; ".join(problems))
        result, watched = await self.written(places, units, generation, preflights)
        if result.failed and not result.readings:
            raise one_of(result.failed)
        if result.failed:
            reasons = "; ".join(str(error) for error in result.failed.values())
            raise RouteUnconfirmed(f"generation {generation} is not in every file: {reasons}")
        silent = [Watched(proxy, Took.WAITING, before.silent) for proxy, before in preflights.items() if before.silent]
        asked = Asked(places.name, list(units), self._terms)
        state.proxies = [watched_state(one, asked) for one in [*watched, *silent]]
        return state

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Every place holds the generation, and every proxy shows the version and the weights of one."""
        places = await self.located(route)
        asked = Asked(places.name, backends, self._terms)
        readings, failed = await self.readings(places)
        shown, silent = await self._all_shown(places)
        proxies = [
            ProxyState(proxy=proxy, ok=False, detail=silent[proxy])
            if proxy in silent
            else proxy_state(proxy, shown[proxy], readings, generation, asked)
            for proxy in places.proxies
        ]
        wrong = [str(error) for error in failed.values()]
        wrong += [
            f"{path}: holds generation {reading.version.generation}, not {generation}"
            for path, reading in readings.items()
            if reading.version.generation != generation
        ]
        wrong += [problem for reading in readings.values() if (problem := meddled(reading, backends))]
        wrong += [proxy.detail for proxy in proxies if not proxy.ok]
        if wrong:
            return Confirmation(answer="no", reason="; ".join(wrong), proxies=proxies)
        # What a proxy shows is used by its workers a moment later, and none of them says so.
        await asyncio.sleep(self.settle)
        return Confirmation(answer="yes", proxies=proxies)

    async def _all_shown(
        self, places: Places[Options], patience: float | None = None
    ) -> tuple[dict[str, Shown], dict[str, str]]:
        """What the proxies show that answered, within ``patience`` seconds if given, and why the others did not."""
        silent: dict[str, str] = {}
        shown: dict[str, Shown] = {}

        async def ask(proxy: str) -> None:
            try:
                async with asyncio.timeout(patience):
                    shown[proxy] = await self.shown(places, proxy)
            except Silent as error:
                silent[proxy] = str(error)
            except TimeoutError:
                silent[proxy] = f"{proxy}: no answer within {patience:g} s"

        await asyncio.gather(*(ask(proxy) for proxy in places.proxies))
        return shown, silent
