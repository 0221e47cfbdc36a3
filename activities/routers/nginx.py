"""nginx by ``split_clients``: the split lies in a file it includes, tested before it counts, and loaded by a reload.

The process itself says which file it runs, at a location of its own: a file that is not loaded is not believed.
Measured behaviour this rests on: docs/nginx.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from activities.bodies import read_up_to
from activities.routers.file_router import FileRouter
from activities.routers.nginx_process import (
    OVERLAP,
    Configuration,
    Untested,
    configuration,
    configuration_problem,
    of_one_reload,
    reachable,
)
from activities.routers.nginx_reload import reload, reload_problem
from activities.routers.nginx_split import NGINX, NginxSplit, understood
from activities.routers.options import options_of
from activities.routers.preflight import PATIENCE, Endpoints, Preflight
from activities.routers.proxy_answers import answering, proxy_session
from activities.routers.proxy_places import Places
from activities.routers.proxy_states import is_of
from activities.routers.route_files import Publish, WriteResult
from activities.routers.splits import Reading, Shown, Silent, Version
from activities.routers.watching import Took, Watched
from activities.secrets import filled
from coalmine.errors import RouterError
from coalmine.records import Capabilities
from coalmine.spec.canary import Route
from coalmine.spec.proxy_routes import NginxProxy, NginxRoute

RELOAD_EVERY = 1.0
"""Seconds between two reloads of one nginx: each leaves old workers behind until their requests are answered."""
SETTLE = 0.02
"""Seconds from the moment an old worker says it is shutting down until it has closed its doors."""
_WATCH = 2.0
"""Seconds for a reload beyond the wait for its turn."""
_PAUSE = 0.02


@dataclass(frozen=True)
class NginxPreflight(Preflight):
    """And the files its configuration is made of; ``sound`` unless its program is known not to take it."""

    files: frozenset[str] = frozenset()
    sound: bool = False


class NginxRouter(FileRouter[NginxRoute]):
    """nginxes on the worker's host. Fencing is strict there: lock, compare, rename; a reload loads what is newest."""

    able = Capabilities(fencing="strict", granularity=0.01, confirm=True, tested_against="nginx 1.22, real processes")
    plane = "nginx"
    settle = SETTLE
    watched_files = False

    def __init__(self, reload_every: float = RELOAD_EVERY) -> None:
        super().__init__(NginxSplit, NGINX)
        self._every = reload_every

    def places(self, route: Route) -> Places[NginxRoute]:
        """Its included files, and the locations at which processes say what they run."""
        options = options_of(route, NginxRoute)
        return Places(route.name, options.files, [proxy.status for proxy in options.proxies], options)

    async def preflight(self, places: Places[NginxRoute], backends: Collection[str]) -> Mapping[str, Preflight]:
        """Upstreams of its configuration, and their servers that let us in."""
        preflights = await asyncio.gather(*(self._of(places, proxy, backends) for proxy in places.options.proxies))
        return dict(zip(places.proxies, preflights, strict=True))

    async def shown(self, places: Places[NginxRoute], proxy: str) -> Shown:
        """What its worker processes say, once all that take connections are of one reload."""
        named = next(one for one in places.options.proxies if one.status == proxy)
        try:
            # Longer than a worker that was started anew makes the others wait.
            async with asyncio.timeout(OVERLAP + 1):
                while (shown := await self._shown_now(places, named)) is None:
                    await asyncio.sleep(_PAUSE)
        except TimeoutError as error:
            raise Silent(
                f"{proxy}: worker processes of several starts take connections: its error log says why"
            ) from error
        return shown

    async def _shown_now(self, places: Places[NginxRoute], proxy: NginxProxy) -> Shown | None:
        """What a worker process says; None while another may say something else."""
        # In this order: a reload that begins in between leaves us with the old answer, which is true.
        text = await _status(proxy.status)
        if not of_one_reload(proxy):
            return None
        version = text.strip().partition(" ")[0]
        readings: list[Reading] = []
        for path in places.files:
            try:
                readings.append(await asyncio.to_thread(self._files.read, path, places.name))
            except RouterError:
                continue
        of_file = next((reading for reading in readings if reading.version.text == version), None)
        try:
            return understood(text, of_file)
        except ValueError as error:
            raise Silent(f"{proxy.status}: answered {text[:80]!r}, not what ${places.name}_route holds") from error

    def route_problems(
        self,
        places: Places[NginxRoute],
        proxy: str,
        shown: Shown | None,
        preflight: Preflight,
        versions: Collection[Version],
    ) -> list[str]:
        """Also a configuration that includes none of the files, and an nginx that we could not tell to reload."""
        if isinstance(preflight, NginxPreflight) and not preflight.files.intersection(places.files):
            return [f"{proxy}: its configuration includes none of route.files: write include {places.files[0]};"]
        mute = [reload_problem(one) for one in places.options.proxies if one.status == proxy]
        return [*super().route_problems(places, proxy, shown, preflight, versions), *filter(None, mute)]

    def publisher(self, places: Places[NginxRoute], preflights: Mapping[str, Preflight]) -> Publish:
        """Under the lock the configuration is only tested; a reload later loads whatever is newest by then."""
        answering = [proxy for proxy in places.options.proxies if not preflights[proxy.status].silent]

        def publish(readings: Sequence[Reading]) -> Mapping[str, str]:
            with ThreadPoolExecutor(len(answering) or 1) as tests:
                problems = dict(zip((proxy.status for proxy in answering), tests.map(_problem, answering), strict=True))
            return {status: f"nginx does not take it: {problem}" for status, problem in problems.items() if problem}

        return publish

    async def watch(
        self, places: Places[NginxRoute], result: WriteResult, generation: int, preflights: Mapping[str, Preflight]
    ) -> list[Watched]:
        """Reload each that does not run the file yet, when its turn comes, and wait for its new workers."""
        if result.refused:
            # No reload: what they run is still the last good file.
            return [Watched(status, Took.REFUSED, f"{status}: {reason}") for status, reason in result.refused.items()]
        wanted = {reading.path: reading for reading in result.readings}
        answering = [proxy for proxy in places.options.proxies if not preflights[proxy.status].silent]
        # It cannot say what it runs, and serves people all the same.
        mute = [proxy for proxy in places.options.proxies if _is_mute(preflights[proxy.status])]
        watched, _ = await asyncio.gather(
            asyncio.gather(*(self._reloaded(places, proxy, wanted, generation) for proxy in answering)),
            asyncio.gather(*(self._told(proxy) for proxy in mute)),
        )
        return list(watched)

    async def _reloaded(
        self, places: Places[NginxRoute], proxy: NginxProxy, wanted: Mapping[str, Reading], generation: int
    ) -> Watched:
        why = waiting = f"{proxy.status}: does not run generation {generation} yet"
        told = False
        try:
            async with asyncio.timeout(_WATCH + self._every):
                while True:
                    shown = None
                    try:
                        shown, why = await self._shown_now(places, proxy), waiting
                    except Silent as error:
                        # What it says now, or that it says nothing, is what a reload may mend.
                        why = str(error)
                    if shown and is_of(shown, wanted):
                        return Watched(proxy.status, Took.SHOWN, shown=shown)
                    if shown and shown.generation > generation:
                        detail = f"{proxy.status}: shows generation {shown.generation}"
                        return Watched(proxy.status, Took.OVERTAKEN, detail)
                    wait = _PAUSE
                    if not told:
                        left = await asyncio.to_thread(reload, proxy, self._every)
                        told, wait = not left, min(left or _PAUSE, 10 * _PAUSE)
                    await asyncio.sleep(wait)
        except TimeoutError:
            pass
        except Silent as error:
            why = str(error)
        return Watched(proxy.status, Took.WAITING, why)

    async def _told(self, proxy: NginxProxy) -> None:
        """Reload one that does not answer, if it runs."""
        with suppress(TimeoutError, Silent):
            async with asyncio.timeout(_WATCH + self._every):
                while left := await asyncio.to_thread(reload, proxy, self._every):
                    await asyncio.sleep(left)

    async def _of(self, places: Places[NginxRoute], proxy: NginxProxy, backends: Collection[str]) -> NginxPreflight:
        silence, found = await asyncio.gather(_silence(proxy.status), asyncio.to_thread(_configuration, proxy))
        if isinstance(found, Silent) or silence:
            return NginxPreflight(silent=silence or str(found), sound=isinstance(found, Configuration | Untested))
        names = [name for name in backends if name in found.upstreams]
        counts = await asyncio.gather(*(reachable(found.upstreams[name]) for name in names))
        known = {name: Endpoints(len(found.upstreams[name]), count) for name, count in zip(names, counts, strict=True)}
        return NginxPreflight(known, notes=found.notes, files=found.files, sound=True)


def _is_mute(preflight: Preflight) -> bool:
    return isinstance(preflight, NginxPreflight) and bool(preflight.silent) and preflight.sound


def _configuration(proxy: NginxProxy) -> Configuration | Silent:
    """Its configuration, or why its program does not take it."""
    try:
        return configuration(proxy)
    except Silent as error:
        return error


def _problem(proxy: NginxProxy) -> str:
    try:
        return configuration_problem(proxy)
    except Silent:
        # The others are told all the same, and so is it: it tests the file itself, and reading back says what it runs.
        return ""


async def _silence(url: str) -> str:
    """Why it does not say what it runs; empty when it does."""
    try:
        async with asyncio.timeout(PATIENCE):
            await _status(url)
    except Silent as error:
        return str(error)
    except TimeoutError:
        return f"{url}: no answer within {PATIENCE:g} s"
    return ""


async def _status(url: str) -> str:
    """What a worker process says it runs.

    Raises:
        Silent: no answer, or not 200.
    """
    with answering(url):
        async with proxy_session() as session, session.get(filled(url), allow_redirects=False) as answer:
            if answer.status != 200:
                raise Silent(f"{url}: answered {answer.status}: return 200 there, with the route's variable")
            return (await read_up_to(answer.content, 4096)).decode(errors="replace")
