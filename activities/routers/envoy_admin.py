"""What one Envoy shows on its admin interface: the route it uses, refused updates, clusters and their endpoints.

Source: https://www.envoyproxy.io/docs/envoy/latest/operations/admin
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from activities.routers.envoy_routes import splits
from activities.routers.preflight import Endpoints
from activities.routers.proxy_answers import asked_object
from activities.routers.splits import Shown, Silent, Version
from coalmine.errors import RouteRejected

_UNFILTERED = 100
"""Above this many names a filter would make the address too long, so all clusters are asked for."""
_FAILED = ("failed_active_health_check", "failed_outlier_check", "excluded_via_immediate_hc_fail")
_OUT = ("UNHEALTHY", "DRAINING", "TIMEOUT")


@dataclass(frozen=True)
class Updates:
    """What became of a route's updates: the last version that was taken, and how many were refused since the start.

    Refused is what Envoy understood and rejected, and what it could not read as a route at all (``update_failure``).

    ``version`` is None when the proxy has no such route, or keeps these statistics from its admin interface.
    """

    version: Version | None = None
    refused: int = 0


class EnvoyAdmin:
    """The admin interfaces of one call; the connections end with it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def shown(self, admin: str, name: str) -> Shown:
        """The dynamic route configuration ``name`` as the proxy has it.

        Raises:
            Silent: no answer.
        """
        updates, dump = await asyncio.gather(
            self.updates(admin, name),
            self._get(
                admin, "config_dump", {"resource": "dynamic_route_configs", "name_regex": f"^{re.escape(name)}$"}
            ),
        )
        for config in dump.get("configs", []):
            configuration = config.get("route_config", {})
            if configuration.get("name") == name:
                try:
                    found = tuple(splits(configuration))
                except RouteRejected as error:
                    raise Silent(f"{admin}: {error}") from error
                # A route equal to the one it has is taken, but the dump keeps the old version's text.
                return Shown(updates.version or Version(config.get("version_info", "")), found)
        return Shown(None)

    async def updates(self, admin: str, name: str) -> Updates:
        """What became of the route's updates; the version and the counter are of one moment.

        Raises:
            Silent: no answer.
        """
        # Colons in a name become underscores in Envoy's statistics.
        pattern = (
            rf"^http\..+\.rds\.{re.escape(name.replace(':', '_'))}\.(update_rejected|update_failure|version_text)$"
        )
        stats = await self._get(admin, "stats", {"format": "json", "filter": pattern})
        versions: list[Version] = []
        refused = 0
        for stat in stats.get("stats", []):
            if str(stat.get("name", "")).endswith(".version_text"):
                versions.append(Version(str(stat.get("value", ""))))
            else:
                refused += int(stat.get("value", 0))
        # Two listeners may each watch the route: what both have is what counts.
        return Updates(min(versions, key=lambda version: version.generation, default=None), refused)

    async def endpoints(self, admin: str, clusters: Collection[str]) -> Mapping[str, Endpoints]:
        """The endpoints of the clusters among these that the proxy knows.

        Raises:
            Silent: no answer.
        """
        query = {"format": "json"}
        if len(clusters) <= _UNFILTERED:
            query["filter"] = f"^({'|'.join(re.escape(cluster) for cluster in sorted(clusters))})$"
        answer = await self._get(admin, "clusters", query)
        return {
            status["name"]: _endpoints([host.get("health_status", {}) for host in status.get("host_statuses", [])])
            for status in answer.get("cluster_statuses", [])
            if status.get("name") in clusters
        }

    async def _get(self, admin: str, page: str, query: Mapping[str, str]) -> dict[str, Any]:
        return await asked_object(self._session, admin, f"/{page}", "is this Envoy's admin interface?", query)


def _endpoints(statuses: Sequence[Mapping[str, Any]]) -> Endpoints:
    ejected = sum(bool(status.get("failed_outlier_check")) for status in statuses)
    return Endpoints(len(statuses), sum(_healthy(status) for status in statuses), ejected)


def _healthy(status: Mapping[str, Any]) -> bool:
    return not any(status.get(flag) for flag in _FAILED) and status.get("eds_health_status") not in _OUT
