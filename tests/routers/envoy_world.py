"""Real Envoys on one file or on a file each."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from activities.routers import envoy_document, envoy_routes, watching
from activities.routers.base import Router
from activities.routers.envoy import EnvoyRouter
from activities.routers.envoy_document import RouteDocument
from activities.routers.locked_files import replace
from activities.routers.weights import weight_units
from coalmine.local.envoy import EnvoyProxy, route_response
from coalmine.records import ProxyState, Weights
from coalmine.spec.canary import Route
from coalmine.testing.router_contract import CANARY, DEAD, STABLE, UNKNOWN, RouterWorld
from coalmine.testing.router_world import live, state_of
from tests.routers.disk_trouble import FileWorld

NOBODY = "127.0.0.1:9"
"""An endpoint Envoy takes for healthy as long as nobody asks it."""
SECOND = "store"
"""A route beside the one that is tested."""
CLUSTERS_MOVED = (STABLE, CANARY)
TESTERS, SHADOW = "canary-testers", "canary-shadow"
CLUSTERS: dict[str, Sequence[str]] = {
    **{name: [NOBODY] for name in (STABLE, CANARY, TESTERS, SHADOW)}, DEAD: [],
}  # fmt: skip
ASKED: dict[str, Any] = {
    "sticky": {"header": "x-user-id"},
    "testers": {"backend": TESTERS, "match": [{"header": "x-group", "values": ["beta", "staff"]}]},
    "mirror": {"backend": SHADOW, "percent": 50},
}
"""All a route may ask of Envoy besides weights."""

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


def foreign(text: str) -> list[object]:
    """What a route file says besides what a write may change."""
    content = YAML(typ="safe").load(text)
    del content["version_info"]
    for configuration in content["resources"]:
        configuration.pop("validate_clusters", None)
        entries = configuration["virtual_hosts"][0]["routes"]
        entries[:] = [entry for entry in entries if "-testers-" not in entry.get("name", "")]
        for entry in entries:
            action = entry["route"]
            entry.pop("metadata", None)
            for ours in ("hash_policy", "request_mirror_policies"):
                action.pop(ours, None)
            if action.get("cluster") in CLUSTERS_MOVED or "weighted_clusters" in action:
                action.pop("cluster", None)
                action.pop("weighted_clusters", None)
    return [content, [line for line in text.splitlines() if "#" in line]]


async def all_show(world: RouterWorld, weights: Weights) -> None:
    """Wait until every proxy shows these weights, whatever it says of them."""
    proxies: Sequence[ProxyState] = ()
    while not proxies or any(live(proxy.weights) != live(weights) for proxy in proxies):
        await asyncio.sleep(0.01)
        proxies = (await state_of(world)).proxies


@dataclass
class EnvoyWorld(FileWorld):
    """Real Envoys."""

    route: Route
    files: list[Path]
    running: dict[str, EnvoyProxy]
    patch: pytest.MonkeyPatch
    second_file: Path
    _workers: Sequence[Router] = field(default_factory=lambda: [EnvoyRouter(), EnvoyRouter()])

    @property
    def second(self) -> Route:
        return envoy_route([self.second_file], list(self.running), SECOND)

    async def meddle(self, weights: Weights) -> None:
        """Deploy the files anew, with a version of the deployment's own."""
        for path in self.files:
            document = RouteDocument(str(path), path.read_text(), self.route.name)
            document.set_weights(weight_units(weights))
            text = document.render()
            replace(path, re.sub(r'(version_info"?: )"[^"]*"', r'\1"deployed"', text))
        while any(proxy.generation for proxy in (await self._workers[0].read(self.route, list(weights))).proxies):
            await asyncio.sleep(0.01)

    async def meddle_under_the_mark(self, weights: Weights) -> None:
        """Change the weights in the files, and nothing else."""
        for path in self.files:
            document = RouteDocument(str(path), path.read_text(), self.route.name)
            document.set_weights(weight_units(weights))
            replace(path, document.render())
        await all_show(self, weights)

    async def foreign(self) -> object:
        """The files without their version, our own switch, and the clusters of the entries that move."""
        kept: list[object] = [self.second_file.read_text()]
        for path in self.files:
            kept += foreign(path.read_text())
        return kept

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
        # A proxy of a busy machine may take a while to refuse it.
        self.patch.setattr(watching, "PATIENCE", 20.0)


async def start_envoys(
    folder: Path,
    files: Sequence[Path],
    proxies: int,
    clusters: dict[str, Sequence[str]] | None = None,
    further: Mapping[str, Path] | None = None,
) -> dict[str, EnvoyProxy]:
    """Start proxies by turns on these files; by admin address."""
    envoys = [
        EnvoyProxy(
            folder / f"envoy-{number}",
            files[number % len(files)],
            CLUSTERS if clusters is None else clusters,
            further_routes=further,
        )
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


def envoy_route(files: Sequence[Path], admins: Sequence[str], name: str = "shop") -> Route:
    """The route of a spec."""
    return Route.model_validate(
        {"router": "envoy", "name": name, "files": [str(path) for path in files], "admins": list(admins)}
    )
