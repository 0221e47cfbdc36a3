"""Data planes that tests make things happen in: a fake one, and real Envoys on one file or on a file each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from activities.routers import envoy_document, envoy_routes
from activities.routers.base import Router
from activities.routers.envoy import EnvoyRouter
from coalmine.local.envoy import EnvoyProxy, route_response
from coalmine.spec.canary import Route
from coalmine.testing.fake_router import FakeRouter
from coalmine.testing.router_contract import CANARY, DEAD, STABLE, UNKNOWN

NOBODY = "127.0.0.1:9"
"""An endpoint Envoy takes for healthy as long as nobody asks it."""
CLUSTERS: dict[str, Sequence[str]] = {STABLE: [NOBODY], CANARY: [NOBODY], DEAD: []}

YAML_ROUTE = """\
# The shop's way in. Mind the admin pages.
version_info: "0"
resources:
  - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
    name: shop
    virtual_hosts:
      - name: shop
        domains: ["*"]
        routes:
          - match: {prefix: /admin}
            route: {cluster: dead, timeout: 2s}   # nobody home
          - name: beta
            match:
              prefix: /
              headers:
                - {name: x-beta, string_match: {exact: 'yes'}}
            route:
              weighted_clusters:
                clusters:
                  - {name: stable, weight: 100}
                  - {name: canary, weight: 0}
          - match: {prefix: /}
            route:
              # until 1.42 is out
              cluster: stable
              timeout: 3s
              retry_policy: {retry_on: connect-failure, num_retries: 2}
"""


@dataclass
class FakeWorld:
    """A fake data plane."""

    router: FakeRouter
    route: Route = field(default_factory=lambda: Route(router="fake", name="shop"))

    @property
    def workers(self) -> Sequence[Router]:
        return [self.router, self.router]

    @property
    def proxies(self) -> Sequence[str]:
        return list(self.router.shown(self.route.name))

    async def stop(self, proxy: str) -> None:
        self.router.take_down(proxy)

    async def start(self, proxy: str) -> None:
        self.router.bring_up(proxy)

    def refuse_next(self) -> None:
        self.router.reject_next(route=self.route.name)


@dataclass
class EnvoyWorld:
    """Real Envoys."""

    route: Route
    files: list[Path]
    envoys: dict[str, EnvoyProxy]
    patch: pytest.MonkeyPatch
    workers: Sequence[Router] = field(default_factory=lambda: [EnvoyRouter(), EnvoyRouter()])

    @property
    def proxies(self) -> Sequence[str]:
        return list(self.envoys)

    async def stop(self, proxy: str) -> None:
        await self.envoys[proxy].stop()

    async def start(self, proxy: str) -> None:
        await self.envoys[proxy].start()

    def refuse_next(self) -> None:
        """Name a cluster nobody knows in the next write, as if it had vanished after it was looked for."""
        left = len(self.files)
        real = envoy_routes.set_weights

        def with_ghost(configuration: Any, units: Mapping[str, int]) -> int:
            nonlocal left
            changed = real(configuration, units)
            if left:
                left -= 1
                last = configuration["virtual_hosts"][0]["routes"][-1]
                last["route"]["weighted_clusters"]["clusters"].append({"name": UNKNOWN, "weight": 0})
            return changed

        self.patch.setattr(envoy_document, "set_weights", with_ghost)


async def start_envoys(
    folder: Path, files: Sequence[Path], proxies: int, clusters: dict[str, Sequence[str]] | None = None
) -> dict[str, EnvoyProxy]:
    """Start proxies by turns on these files; by admin address."""
    envoys = [
        EnvoyProxy(folder / f"envoy-{number}", files[number % len(files)], CLUSTERS if clusters is None else clusters)
        for number in range(proxies)
    ]
    try:
        async with asyncio.TaskGroup() as starting:
            for envoy in envoys:
                starting.create_task(envoy.start())
    except BaseException:
        await stop_envoys(envoys)
        raise
    return {envoy.admin_url: envoy for envoy in envoys}


async def stop_envoys(envoys: Sequence[EnvoyProxy]) -> None:
    """End them all, at once."""
    await asyncio.gather(*(envoy.stop() for envoy in envoys))


def write_routes(folder: Path, names: Sequence[str]) -> list[Path]:
    """Write a first route into each file, in the format its name asks for."""
    paths = []
    for name in names:
        path = folder / name
        content = route_response("shop", {STABLE: 10_000, CANARY: 0})
        path.write_text(json.dumps(content, indent=2) if path.suffix == ".json" else YAML_ROUTE)
        paths.append(path)
    return paths


def envoy_route(files: Sequence[Path], admins: Sequence[str]) -> Route:
    """The route of a spec."""
    return Route.model_validate(
        {"router": "envoy", "name": "shop", "files": [str(path) for path in files], "admins": list(admins)}
    )
