"""HAProxy by a map: the split lies in a file it loads when it starts; its socket replaces it in the running process.

The runtime API forgets at a restart what it was told. The file is what a restart or a reload finds: both are written,
the file first. Measured behaviour this rests on: docs/haproxy.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from activities.routers.file_router import FileRouter
from activities.routers.haproxy_map import HAPROXY, HAProxyMap, entries
from activities.routers.haproxy_socket import Refused, StatsSocket
from activities.routers.options import options_of
from activities.routers.preflight import PATIENCE, Preflight
from activities.routers.proxy_places import Places
from activities.routers.route_files import Publish
from activities.routers.splits import Reading, Shown, Silent, Version
from coalmine.records import Capabilities
from coalmine.spec.canary import Route
from coalmine.spec.proxy_routes import HAProxyRoute


class HAProxyRouter(FileRouter[HAProxyRoute]):
    """HAProxies whose map lies on the worker's host. Fencing is strict there: file and sockets under one lock."""

    able = Capabilities(fencing="strict", granularity=0.01, confirm=True, tested_against="HAProxy 2.6, real processes")
    plane = "haproxy"
    watched_files = False
    told_apart = True

    def __init__(self) -> None:
        super().__init__(HAProxyMap, HAPROXY)

    def places(self, route: Route) -> Places[HAProxyRoute]:
        """Its map files and stats sockets."""
        options = options_of(route, HAProxyRoute)
        return Places(route.name, options.files, options.sockets, options)

    async def preflight(self, places: Places[HAProxyRoute], backends: Collection[str]) -> Mapping[str, Preflight]:
        """The servers of each backend that are up."""

        def preflight(proxy: str) -> Preflight:
            try:
                return Preflight(StatsSocket(proxy, PATIENCE).servers())
            except Silent as error:
                return Preflight(silent=str(error))

        preflights = await asyncio.gather(*(asyncio.to_thread(preflight, proxy) for proxy in places.proxies))
        return dict(zip(places.proxies, preflights, strict=True))

    async def shown(self, places: Places[HAProxyRoute], proxy: str) -> Shown:
        """The map in the running process."""

        def shown() -> Shown:
            stats = StatsSocket(proxy)
            path = stats.find_map(places.files)
            return stats.shown(path) if path else Shown(None)

        return await asyncio.to_thread(shown)

    def route_problems(
        self,
        places: Places[HAProxyRoute],
        proxy: str,
        shown: Shown | None,
        preflight: Preflight,
        versions: Collection[Version],
    ) -> list[str]:
        """Also a proxy that loads no map of ours."""
        if shown is not None and shown.version is None:
            return [f"{proxy}: loads none of route.files as a map: name it in use_backend, as docs/haproxy.md shows"]
        return super().route_problems(places, proxy, shown, preflight, versions)

    def publisher(self, places: Places[HAProxyRoute], preflights: Mapping[str, Preflight]) -> Publish:
        """Told under the files' lock, so that nobody older comes in between."""
        answering = [proxy for proxy, preflight in preflights.items() if not preflight.silent]

        def publish(readings: Sequence[Reading]) -> Mapping[str, str]:
            refused: dict[str, str] = {}
            by_path = {reading.path: reading for reading in readings}
            for proxy in answering:
                stats = StatsSocket(proxy, PATIENCE)
                try:
                    path = stats.find_map(list(by_path))
                    if path is not None:
                        reading = by_path[path]
                        stats.replace(path, entries(reading), reading.version.generation)
                except Refused as error:
                    refused[proxy] = str(error)
                except Silent:
                    # It answered a moment ago: reading back names it, and the write is tried again.
                    continue
            return refused

        return publish
