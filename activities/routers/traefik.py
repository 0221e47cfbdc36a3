"""Traefik by its file provider: weights go into a dynamic configuration it watches, and are read back from its API.

Measured behaviour this rests on: docs/traefik.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from activities.routers.file_router import FileRouter
from activities.routers.options import options_of
from activities.routers.preflight import PATIENCE, Endpoints, Preflight
from activities.routers.proxy_answers import asked_object, proxy_session
from activities.routers.proxy_places import Places
from activities.routers.splits import Shown, Silent
from activities.routers.traefik_document import TRAEFIK, TraefikDocument, shown_of
from coalmine.records import Capabilities
from coalmine.spec.canary import Route
from coalmine.spec.proxy_routes import TraefikRoute


class TraefikRouter(FileRouter[TraefikRoute]):
    """Traefiks that watch files on the worker's host. Fencing is strict there: lock, compare, rename."""

    able = Capabilities(fencing="strict", granularity=0.01, confirm=True, tested_against="Traefik 3.7, real processes")
    plane = "traefik"
    settle = 0.02
    patience = 3.0
    """It takes a change in at most once in ``providers.providersThrottleDuration``, two seconds by default."""

    def __init__(self) -> None:
        super().__init__(TraefikDocument, TRAEFIK)

    def places(self, route: Route) -> Places[TraefikRoute]:
        """Its files and APIs."""
        options = options_of(route, TraefikRoute)
        return Places(route.name, options.files, options.apis, options)

    async def preflight(self, places: Places[TraefikRoute], backends: Collection[str]) -> Mapping[str, Preflight]:
        """The services it knows, and their servers it has not found down."""

        async def preflight(api: str) -> Preflight:
            try:
                async with asyncio.timeout(PATIENCE):
                    raw = await _raw(api)
            except Silent as error:
                return Preflight(silent=str(error))
            except TimeoutError:
                return Preflight(silent=f"{api}: no answer within {PATIENCE:g} s")
            known = {name: raw.get("services", {}).get(name if "@" in name else f"{name}@file") for name in backends}
            return Preflight({name: _servers(service) for name, service in known.items() if service is not None})

        preflights = await asyncio.gather(*(preflight(api) for api in places.proxies))
        return dict(zip(places.proxies, preflights, strict=True))

    async def shown(self, places: Places[TraefikRoute], proxy: str) -> Shown:
        """The weighted service as the API shows it, with its version, of one moment."""
        raw = await _raw(proxy)
        try:
            return shown_of(raw, places.name)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Silent(f"{proxy}: its route {places.name!r} cannot be read ({error!r})") from error


def _servers(service: Mapping[str, Any]) -> Endpoints:
    """Those it may send to: without a health check of Traefik's all. Services of services count as one."""
    if "loadBalancer" not in service:
        return Endpoints(1, int(service.get("status") == "enabled"))
    status = service.get("serverStatus") or {}
    servers = service["loadBalancer"].get("servers") or []
    return Endpoints(len(servers), sum(status.get(server.get("url"), "UP") == "UP" for server in servers))


async def _raw(api: str) -> dict[str, Any]:
    """Everything it runs.

    Raises:
        Silent: no answer, or not Traefik's.
    """
    async with proxy_session() as session:
        return await asked_object(session, api, "/api/rawdata", "is Traefik's API on there?")
