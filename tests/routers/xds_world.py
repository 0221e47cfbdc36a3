"""Real Envoys that are told by a control plane over gRPC; one set of processes for many cases."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from activities.routers import envoy_document, envoy_routes
from activities.routers.base import Router
from activities.routers.envoy_document import RouteDocument
from activities.routers.envoy_xds import EnvoyXdsRouter
from activities.routers.locked_files import replace
from activities.routers.weights import weight_units
from coalmine.local.envoy import EnvoyProxy, route_response
from coalmine.records import Weights
from coalmine.spec.canary import Route
from coalmine.testing.router_contract import CANARY, STABLE, UNKNOWN
from coalmine.xds import control_plane
from coalmine.xds.control_plane import ControlPlane
from tests.routers.envoy_world import CLUSTERS, SECOND, SHADOW, YAML_ROUTE, all_show, foreign
from tests.routers.proxy_world import ProxyWorld

WITHIN = 60.0
"""Seconds; long, because no test judges speed."""


@dataclass
class XdsWorld(ProxyWorld):
    """Envoys of one control plane."""

    folder: Path
    plane: ControlPlane
    running: Mapping[str, EnvoyProxy]
    patch: pytest.MonkeyPatch
    keys: Mapping[str, Any] = field(default_factory=dict)
    _workers: Sequence[Router] = field(default_factory=lambda: [EnvoyXdsRouter(), EnvoyXdsRouter()])

    def __post_init__(self) -> None:
        self.lacks = {"parts": "there is one door: what is written there is for every proxy"}
        self.route = self._named("shop")

    @property
    def second(self) -> Route:
        return self._named(SECOND)

    @property
    def file(self) -> Path:
        return self.folder / "shop.yaml"

    async def stop(self, proxy: str) -> None:
        await super().stop(proxy)
        await until(lambda: proxy not in {one["node"] for one in self.plane.connections()})

    async def meddle(self, weights: Weights) -> None:
        """Deploy the file anew, with a version of the deployment's own."""
        document = RouteDocument(str(self.file), self.file.read_text(), self.route.name)
        document.set_weights(weight_units(weights))
        replace(self.file, re.sub(r'(version_info"?: )"[^"]*"', r'\1"deployed"', document.render()))
        await until(lambda: self._all_have("shop", "deployed"))

    async def meddle_under_the_mark(self, weights: Weights) -> None:
        """Change the weights in the file, and nothing else."""
        document = RouteDocument(str(self.file), self.file.read_text(), self.route.name)
        document.set_weights(weight_units(weights))
        replace(self.file, document.render())
        await all_show(self, weights)

    async def foreign(self) -> object:
        """The files without their version, our own switch, and the clusters of the entries that move."""
        return [(self.folder / "store.json").read_text(), *foreign(self.file.read_text())]

    def refuse_next(self) -> None:
        """Name a cluster nobody knows in the next write, as if it had vanished after it was looked for."""
        left = [1]
        real = envoy_routes.set_weights

        def with_ghost(configuration: Any, units: Mapping[str, int]) -> int:
            changed = real(configuration, units)
            if left.pop():
                last = configuration["virtual_hosts"][0]["routes"][-1]
                last["route"]["weighted_clusters"]["clusters"].append({"name": UNKNOWN, "weight": 0})
            left.append(0)
            return changed

        self.patch.setattr(envoy_document, "set_weights", with_ghost)
        # A proxy of a busy machine may take a while to refuse it.
        self.patch.setattr(control_plane, "PATIENCE", 5.0)

    def lose_next_answer(self) -> None:
        """Let the connection break once the write is done."""
        written = self.plane.write
        # The router's HTTP client asks once more by itself, which is as good as one asking.
        left = [1, 2]

        async def write(*given: Any) -> Any:
            answer = await written(*given)
            left.pop()
            if not left:
                self.patch.undo()
            server = self.plane._runner.server
            assert server is not None
            for connection in server.connections:
                assert connection.transport is not None
                connection.transport.abort()
            return answer

        self.patch.setattr(self.plane, "write", write)

    async def rest(self) -> None:
        """As it was at first: processes, files and what every proxy has."""
        for envoy in self.running.values():
            if envoy.pid is None:
                await envoy.start()
        write_files(self.folder)
        await until(lambda: self._all_have("shop", "0") and self._all_have(SECOND, "0"))

    def _all_have(self, name: str, version: str) -> bool:
        has = [one["has"].get(name) for one in self.plane.connections()]
        return has == [version] * len(self.running)

    def _named(self, name: str) -> Route:
        proxies = [{"node": node, "admin": envoy.admin_url} for node, envoy in self.running.items()]
        return xds_route(self.plane.admin_url, name, proxies=proxies, **self.keys)


def write_files(folder: Path) -> None:
    """The first routes, as a deployment would write them."""
    folder.mkdir(exist_ok=True)
    second = json.dumps(route_response(SECOND, {STABLE: 10_000, CANARY: 0}), indent=2)
    # An entry that has all its traffic on a backend would leave it nothing to rise by.
    shop = YAML_ROUTE.replace("cluster: dead", f"cluster: {SHADOW}")
    for name, text in (("shop.yaml", shop), ("store.json", second)):
        replace(folder / name, text, create=True)


def xds_route(control: str, name: str = "shop", **keys: Any) -> Route:
    """The route of a spec."""
    return Route.model_validate({"router": "envoy-xds", "name": name, "control": control, **keys})


async def until(done: Any) -> None:
    """Wait until ``done()``."""
    deadline = time.monotonic() + WITHIN
    while not done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@asynccontextmanager
async def xds_envoys(
    folder: Path, plane: ControlPlane, nodes: Sequence[str], clusters: Mapping[str, Sequence[str]] | None = None
) -> AsyncIterator[dict[str, EnvoyProxy]]:
    """Envoys that ask this control plane for both routes, by node."""
    envoys = {
        node: EnvoyProxy(
            folder / node,
            None,
            CLUSTERS if clusters is None else clusters,
            further_routes={SECOND: None},
            control_plane=plane.address,
        )
        for node in nodes
    }
    async with AsyncExitStack() as stack:
        for envoy in envoys.values():
            stack.push_async_callback(envoy.stop)
        await asyncio.gather(*(envoy.start() for envoy in envoys.values()))
        yield envoys


@asynccontextmanager
async def xds_plane(folder: Path, **settings: Any) -> AsyncIterator[ControlPlane]:
    """A control plane over the first routes."""
    await asyncio.to_thread(write_files, folder)
    async with ControlPlane(folder, every=0.01, **settings) as plane:
        yield plane
