"""The router of every data plane whose route lies in files on the worker's host: fence, and refusals put back.

Weights go into the files under a lock (compare the generation, replace whole), then each proxy is seen to use them.
What differs by data plane are a few questions to its proxies, asked by subclasses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from activities.routers.preflight import PATIENCE, Preflight
from activities.routers.proxy_places import Options, Places
from activities.routers.proxy_router import ProxyRouter
from activities.routers.proxy_states import is_of
from activities.routers.route_files import Publish, RouteFiles, WriteResult
from activities.routers.splits import PLAIN, DocumentType, Reading, Terms
from activities.routers.watching import Took, Watched, until_taken
from coalmine.errors import RouteRejected, RouterError, StaleGeneration
from coalmine.telemetry.spans import span

__all__ = ["FileRouter", "Options", "Places"]


class FileRouter(ProxyRouter[Options]):
    """Fencing is strict on one host. Subclasses say where the route is, and ask and tell its proxies."""

    watched_files = True
    """Whether proxies see by themselves that a file has changed; others are published to."""
    patience = 0.0
    """Seconds to watch proxies take what was written; 0 is ``watching.PATIENCE``."""

    def __init__(self, document: DocumentType, terms: Terms = PLAIN) -> None:
        super().__init__(terms)
        self._files = RouteFiles(document, terms)

    def publisher(self, places: Places[Options], preflights: Mapping[str, Preflight]) -> Publish | None:
        """How the proxies that answered hear of changed files, where they do not watch them."""
        return None

    async def watch(
        self, places: Places[Options], result: WriteResult, generation: int, preflights: Mapping[str, Preflight]
    ) -> list[Watched]:
        """Watch the proxies that answered before the write until each has taken the route or refused it."""
        answered = [proxy for proxy, preflight in preflights.items() if not preflight.silent]
        return list(await asyncio.gather(*(self._taken(places, proxy, result, generation) for proxy in answered)))

    def preflights_again(
        self, preflights: Mapping[str, Preflight], watched: Sequence[Watched]
    ) -> Mapping[str, Preflight]:
        """The looks to watch the way back with: after a refusal a proxy may have counted on."""
        return preflights

    async def readings(self, places: Places[Options]) -> tuple[dict[str, Reading], dict[str, RouterError]]:
        """What the files say."""
        return await asyncio.to_thread(self._files.read_all, places.files, places.name)

    async def rehearsed(
        self, places: Places[Options], readings: Mapping[str, Reading], units: Mapping[str, int]
    ) -> Mapping[str, str]:
        """Whether each file could be changed and replaced."""
        return await asyncio.to_thread(self._files.rehearse, list(readings), places.name, units, places.document)

    async def told(
        self, places: Places[Options], readings: Mapping[str, Reading], generation: int, *, restoring: bool = False
    ) -> bool:
        """Whether every proxy uses the route as its file has it, where a file alone tells it nothing.

        Where they watch it, a file that is written already and that one of them does not show is replaced by itself:
        a change they missed is missed for good, and a repeated write is asked for because it was not confirmed.

        Raises:
            StaleGeneration: one shows a newer generation: the file was put back past us.
            RouterUnreachable: a file could not be replaced.
        """
        if self.watched_files:
            if all(reading.version.generation == generation for reading in readings.values()):
                shown, _ = await self._all_shown(places, PATIENCE)
                if not all(is_of(one, readings) for one in shown.values()):
                    await asyncio.to_thread(self._files.touch, list(readings.values()), places.name)
            return True
        # A rollback waits for none that hangs; where the plane can, its publishing compares once more.
        shown, silent = await self._all_shown(places, PATIENCE if restoring else None)
        for proxy, one in shown.items():
            if one.generation > generation:
                raise StaleGeneration(f"{proxy}: shows generation {one.generation}, newer than {generation}")
        return not silent and all(is_of(one, readings) for one in shown.values())

    async def written(
        self, places: Places[Options], units: Mapping[str, int], generation: int, preflights: Mapping[str, Preflight]
    ) -> tuple[WriteResult, Sequence[Watched]]:
        """Write every file, see the proxies take it; put the files back after a refusal."""
        publish = self.publisher(places, preflights)
        with span(f"{self.plane}.write", route=places.name, generation=generation, files=len(places.files)) as marks:
            result = await asyncio.to_thread(
                self._files.write, places.files, places.name, units, generation, publish, places.document
            )
            marks.set(written=len(result.readings), failed=len(result.failed))
        with span(f"{self.plane}.watch", route=places.name, generation=generation, proxies=len(places.proxies)):
            if not result.readings:
                return result, []
            return result, await self._watched(places, result, generation, preflights, publish)

    async def _taken(self, places: Places[Options], proxy: str, result: WriteResult, generation: int) -> Watched:
        if proxy in result.refused:
            return Watched(proxy, Took.REFUSED, f"{proxy}: {result.refused[proxy]}")
        wanted = {reading.path: reading for reading in result.readings}

        async def now() -> Watched:
            shown = await self.shown(places, proxy)
            if shown.problem and any(shown.version == reading.version for reading in result.readings):
                return Watched(proxy, Took.REFUSED, f"{proxy}: does not serve it: {shown.problem}")
            if is_of(shown, wanted):
                return Watched(proxy, Took.SHOWN, shown=shown)
            if shown.generation > generation:
                return Watched(proxy, Took.OVERTAKEN, f"{proxy}: shows generation {shown.generation}")
            return Watched(proxy, Took.WAITING, f"{proxy}: does not show generation {generation} yet")

        return await until_taken(proxy, now, self.patience)

    async def _watched(
        self,
        places: Places[Options],
        result: WriteResult,
        generation: int,
        preflights: Mapping[str, Preflight],
        publish: Publish | None,
    ) -> list[Watched]:
        """What the proxies did with the route.

        Raises:
            RouteRejected: one refused it; the files are as they were, under the refused generation.
        """
        watched = await self.watch(places, result, generation, preflights)
        refused = "; ".join(one.detail for one in watched if one.took is Took.REFUSED)
        if not refused:
            return watched
        try:
            back = await asyncio.to_thread(self._files.put_back, result.written, places.name, generation, publish)
        except RouterError as error:
            raise RouteRejected(f"{refused}. The last good file could not be put back: {error}") from error
        if not back:
            raise RouteRejected(f"{refused}. Somebody has written the file since: it stays as it is")
        after = await self.watch(places, WriteResult(kept=back), generation, self.preflights_again(preflights, watched))
        missing = [one.proxy for one in after if one.took is not Took.SHOWN]
        mend = f", which {', '.join(missing)} did not take either: mend the file by hand" if missing else ""
        raise RouteRejected(f"{refused}. The route is as it was before, under generation {generation}{mend}")
