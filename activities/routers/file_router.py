"""The router of every data plane whose route lies in files on the worker's host: fence, order of a write, reading back.

Weights go into the files under a lock (compare the generation, replace whole), then each proxy is seen to use them.
What differs by data plane are a few questions to its proxies, asked by subclasses.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from activities.routers import watching
from activities.routers.preflight import (
    Besides,
    Preflight,
    check_of,
    ejections,
    file_problems,
    named,
    refusals,
    unhealthy,
)
from activities.routers.proxy_states import Asked, is_of, one_of, proxy_state, watched_state
from activities.routers.route_files import Publish, RouteFiles, WriteResult, is_written
from activities.routers.splits import PLAIN, DocumentType, Reading, Shown, Silent, Terms, Version, agreed_weights
from activities.routers.watching import Took, Watched, until_taken
from activities.routers.weights import TOTAL, weight_units, weights_check
from coalmine.errors import RouteRejected, RouterError, RouterUnreachable, RouteUnconfirmed, StaleGeneration
from coalmine.records import Capabilities, Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.base import SpecModel
from coalmine.spec.canary import Route
from coalmine.telemetry.spans import span

Options = TypeVar("Options", bound=SpecModel)


@dataclass(frozen=True)
class Places(Generic[Options]):
    """Where a route is: its name, its files, what its proxies are called, and its other keys."""

    name: str
    files: Sequence[str]
    proxies: Sequence[str]
    options: Options
    document: DocumentType | None = None
    """Instead of the router's usual one, where the route asks for more than weights."""
    besides: Besides = field(default_factory=Besides)


class FileRouter(ABC, Generic[Options]):
    """Fencing is strict on one host. Subclasses say where the route is, and ask and tell its proxies."""

    able: Capabilities
    plane: str
    """What the data plane is called, for spans."""
    settle = 0.0
    """Seconds between a proxy's showing a route and all its workers' using it."""
    watched_files = True
    """Whether proxies see by themselves that a file has changed; others are published to."""
    patience = watching.PATIENCE
    """Seconds to watch proxies take what was written."""
    told_apart = False
    """Whether anybody can tell proxies other weights than their file has."""

    def __init__(self, document: DocumentType, terms: Terms = PLAIN) -> None:
        self._terms = terms
        self._files = RouteFiles(document, terms)

    @abstractmethod
    def places(self, route: Route) -> Places[Options]:
        """Where the route is.

        Raises:
            RouteRejected: a key of the route is wrong; names each.
        """

    @abstractmethod
    async def look(self, places: Places[Options], backends: Collection[str]) -> Mapping[str, Preflight]:
        """Every proxy before a write, with those of these backends it knows; silent after ``preflight.PATIENCE``."""

    @abstractmethod
    async def shown(self, places: Places[Options], proxy: str) -> Shown:
        """The route as one proxy has it.

        Raises:
            Silent: no answer, or not one of this kind of proxy.
        """

    def publisher(self, places: Places[Options], looks: Mapping[str, Preflight]) -> Publish | None:
        """How the proxies that answered hear of changed files, where they do not watch them."""
        return None

    def route_problems(
        self, places: Places[Options], proxy: str, shown: Shown | None, look: Preflight, versions: Collection[Version]
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

    async def watch(
        self, places: Places[Options], result: WriteResult, generation: int, looks: Mapping[str, Preflight]
    ) -> list[Watched]:
        """Watch the proxies that answered before the write until each has taken the route or refused it."""
        answered = [proxy for proxy, look in looks.items() if not look.silent]
        return list(await asyncio.gather(*(self._taken(places, proxy, result, generation) for proxy in answered)))

    async def capabilities(self, route: Route) -> Capabilities:
        """The same for every route."""
        self.places(route)
        return self.able

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """One check for the weights, two a file (one is a dry run), one a proxy."""
        places = self.places(route)
        readings, failed = await self._read_files(places)
        half = dict.fromkeys(backends, TOTAL // max(len(backends), 1))
        rehearsed = await asyncio.to_thread(self._files.rehearse, list(readings), places.name, half, places.document)
        looks = await self.look(places, named(readings, backends, places.besides))
        shown, _ = await self._all_shown(places)
        checks = [weights_check(weights)]
        checks += [Check(ok=False, name="route file", reason=str(error)) for error in failed.values()]
        for path, reading in readings.items():
            problems = file_problems(places.name, reading, backends, self._terms)
            checks.append(check_of("route file", problems, f"{path}: holds route {places.name!r}"))
            if not problems:
                told = [rehearsed[path]] if path in rehearsed else []
                checks.append(check_of("dry run", told, f"{path}: can be written, every step of it"))
        versions = {reading.version for reading in readings.values()}
        even = dict.fromkeys(backends, 1)
        for proxy, look in looks.items():
            problems = (
                [look.silent] if look.silent else refusals(readings, {proxy: look}, even, places.besides, self._terms)
            )
            if not look.silent:
                problems += unhealthy(proxy, look, [*backends, *places.besides.served], self._terms)
                problems += self.route_problems(places, proxy, shown.get(proxy), look, versions)
            fine = "; ".join([f"{proxy}: serves route {places.name!r}", *ejections(look)])
            checks.append(check_of("proxy", list(dict.fromkeys(problems)), fine))
        return checks

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """The newest file's weights, the highest generation of files and proxies, and what every proxy shows.

        Where one was told other weights past its file, those are the route's.
        """
        places = self.places(route)
        readings, failed = await self._read_files(places)
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
        """Look at every proxy, write every file, see the proxies take it; put the files back after a refusal."""
        places = self.places(route)
        units = weight_units(weights)
        if generation < 1:
            raise RouteRejected(f"generation {generation}: generations count from 1")
        readings, failed = await self._read_files(places)
        there = [is_written(reading, units, generation) for reading in readings.values()]
        if failed and not readings:
            raise one_of(failed)
        state = RouteState(weights=weights, generation=generation)
        told = self.watched_files or await self._all_told(places, readings, generation)
        if all(there) and not failed and told:
            return state
        looks = await self.look(places, named(readings, list(units), places.besides))
        problems = refusals(readings, looks, units, places.besides, self._terms, restoring=restoring)
        if problems:
            raise RouteRejected("; ".join(problems))
        publish = self.publisher(places, looks)
        with span(f"{self.plane}.write", route=places.name, generation=generation, files=len(places.files)) as marks:
            result = await asyncio.to_thread(
                self._files.write, places.files, places.name, units, generation, publish, places.document
            )
            marks.set(written=len(result.readings), failed=len(result.failed))
        with span(f"{self.plane}.watch", route=places.name, generation=generation, proxies=len(places.proxies)):
            watched = await self._watched(places, result, generation, looks, publish) if result.readings else []
        if result.failed and not result.readings:
            raise one_of(result.failed)
        if result.failed:
            reasons = "; ".join(str(error) for error in result.failed.values())
            raise RouteUnconfirmed(f"generation {generation} is not in every file: {reasons}")
        silent = [Watched(proxy, Took.WAITING, look.silent) for proxy, look in looks.items() if look.silent]
        asked = Asked(places.name, list(units), self._terms)
        state.proxies = [watched_state(one, asked) for one in [*watched, *silent]]
        return state

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Every file holds the generation, and every proxy shows the version and the weights of a file."""
        places = self.places(route)
        asked = Asked(places.name, backends, self._terms)
        readings, failed = await self._read_files(places)
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
        wrong += [proxy.detail for proxy in proxies if not proxy.ok]
        if wrong:
            return Confirmation(answer="no", reason="; ".join(wrong), proxies=proxies)
        # What a proxy shows is used by its workers a moment later, and none of them says so.
        await asyncio.sleep(self.settle)
        return Confirmation(answer="yes", proxies=proxies)

    async def _read_files(self, places: Places[Options]) -> tuple[dict[str, Reading], dict[str, RouterError]]:
        return await asyncio.to_thread(self._files.read_all, places.files, places.name)

    async def _all_shown(self, places: Places[Options]) -> tuple[dict[str, Shown], dict[str, str]]:
        """What the proxies show that answered, and why the others did not."""
        silent: dict[str, str] = {}
        shown: dict[str, Shown] = {}

        async def ask(proxy: str) -> None:
            try:
                shown[proxy] = await self.shown(places, proxy)
            except Silent as error:
                silent[proxy] = str(error)

        await asyncio.gather(*(ask(proxy) for proxy in places.proxies))
        return shown, silent

    async def _all_told(self, places: Places[Options], readings: Mapping[str, Reading], generation: int) -> bool:
        """Whether every proxy uses the route as its file has it, where a file alone tells it nothing.

        Raises:
            StaleGeneration: one shows a newer generation: the file was put back past us.
        """
        shown, silent = await self._all_shown(places)
        for proxy, one in shown.items():
            if one.generation > generation:
                raise StaleGeneration(f"{proxy}: shows generation {one.generation}, newer than {generation}")
        return not silent and all(is_of(one, readings) for one in shown.values())

    async def _taken(self, places: Places[Options], proxy: str, result: WriteResult, generation: int) -> Watched:
        if proxy in result.refused:
            return Watched(proxy, Took.REFUSED, f"{proxy}: {result.refused[proxy]}")
        wanted = {reading.path: reading for reading in result.readings}

        async def look() -> Watched:
            shown = await self.shown(places, proxy)
            if shown.problem and any(shown.version == reading.version for reading in result.readings):
                return Watched(proxy, Took.REFUSED, f"{proxy}: does not serve it: {shown.problem}")
            if is_of(shown, wanted):
                return Watched(proxy, Took.SHOWN, shown=shown)
            if shown.generation > generation:
                return Watched(proxy, Took.OVERTAKEN, f"{proxy}: shows generation {shown.generation}")
            return Watched(proxy, Took.WAITING, f"{proxy}: does not show generation {generation} yet")

        return await until_taken(proxy, look, self.patience)

    async def _watched(
        self,
        places: Places[Options],
        result: WriteResult,
        generation: int,
        looks: Mapping[str, Preflight],
        publish: Publish | None,
    ) -> list[Watched]:
        """What the proxies did with the route.

        Raises:
            RouteRejected: one refused it; the files are as they were, under the refused generation.
        """
        watched = await self.watch(places, result, generation, looks)
        refused = "; ".join(one.detail for one in watched if one.took is Took.REFUSED)
        if not refused:
            return watched
        try:
            back = await asyncio.to_thread(self._files.put_back, result.written, places.name, generation, publish)
        except RouterError as error:
            raise RouteRejected(f"{refused}. The last good file could not be put back: {error}") from error
        if not back:
            raise RouteRejected(f"{refused}. Somebody has written the file since: it stays as it is")
        after = await self.watch(places, WriteResult(kept=back), generation, self.looks_again(looks, watched))
        missing = [one.proxy for one in after if one.took is not Took.SHOWN]
        mend = f", which {', '.join(missing)} did not take either: mend the file by hand" if missing else ""
        raise RouteRejected(f"{refused}. The route is as it was before, under generation {generation}{mend}")

    def looks_again(self, looks: Mapping[str, Preflight], watched: Sequence[Watched]) -> Mapping[str, Preflight]:
        """The looks to watch the way back with: after a refusal a proxy may have counted on."""
        return looks
