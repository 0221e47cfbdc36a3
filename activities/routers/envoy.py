"""Envoy by route file: weights are written into the file its ``rds`` watches, and read back from every proxy's admin.

No server of ours stands between: proxies keep their route when the worker is gone, and read it again when they restart.
Measured behaviour this rests on: docs/envoy.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from activities.routers.envoy_admin import EnvoyAdmin
from activities.routers.envoy_document import RouteDocument
from activities.routers.envoy_preflight import EnvoyPreflight, envoy_preflights, route_problems, updates_before
from activities.routers.envoy_routes import ENVOY
from activities.routers.envoy_users import Users
from activities.routers.envoy_watch import EnvoyWatched, watch
from activities.routers.file_router import FileRouter
from activities.routers.options import options_of
from activities.routers.preflight import Besides, Preflight
from activities.routers.proxy_answers import proxy_session
from activities.routers.proxy_places import Places
from activities.routers.route_files import WriteResult
from activities.routers.splits import Shown, Version
from activities.routers.watching import Watched
from coalmine.records import Capabilities
from coalmine.spec.canary import Route
from coalmine.spec.proxy_routes import EnvoyRoute

SETTLE = 0.02
"""Seconds from the moment a proxy shows a route until its worker threads use it: measured 2-3 ms at the median."""


class EnvoyRouter(FileRouter[EnvoyRoute]):
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
    plane = "envoy"

    def __init__(self, settle: float = SETTLE) -> None:
        super().__init__(RouteDocument, ENVOY)
        self.settle = settle

    def places(self, route: Route) -> Places[EnvoyRoute]:
        """Its route files and admin interfaces, and what it asks for besides weights."""
        options = options_of(route, EnvoyRoute)
        users = Users(options.sticky, options.testers, options.mirror)
        document = partial(RouteDocument, users=users)
        besides = Besides(users.served, users.clusters)
        return Places(route.name, options.files, options.admins, options, document, besides)

    async def preflight(self, places: Places[EnvoyRoute], backends: Collection[str]) -> Mapping[str, Preflight]:
        """Updates so far, clusters, endpoints."""
        async with proxy_session() as session:
            return await envoy_preflights(EnvoyAdmin(session), places.proxies, places.name, backends)

    async def shown(self, places: Places[EnvoyRoute], proxy: str) -> Shown:
        """The dynamic route configuration as the admin interface shows it."""
        async with proxy_session() as session:
            return await EnvoyAdmin(session).shown(proxy, places.name)

    def route_problems(
        self,
        places: Places[EnvoyRoute],
        proxy: str,
        shown: Shown | None,
        preflight: Preflight,
        versions: Collection[Version],
    ) -> list[str]:
        """Also whether a refused update could be seen."""
        return route_problems(proxy, places.name, shown, preflight, versions)

    async def watch(
        self, places: Places[EnvoyRoute], result: WriteResult, generation: int, preflights: Mapping[str, Preflight]
    ) -> list[Watched]:
        """By the version each has taken last, and by the count of updates it has refused."""
        async with proxy_session() as session:
            return list(await watch(EnvoyAdmin(session), places.name, result.readings, updates_before(preflights)))

    def preflights_again(
        self, preflights: Mapping[str, Preflight], watched: Sequence[Watched]
    ) -> Mapping[str, Preflight]:
        """With the counts of refused updates as they were after the refusal."""
        after = {one.proxy: one.updates for one in watched if isinstance(one, EnvoyWatched)}
        return {
            proxy: replace(preflight, updates=after.get(proxy, preflight.updates))
            if isinstance(preflight, EnvoyPreflight)
            else preflight
            for proxy, preflight in preflights.items()
        }
