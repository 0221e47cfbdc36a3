"""Data planes that tests make things happen in: a fake one, and real Envoys on one file or on a file each."""

from __future__ import annotations

import asyncio
import errno
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from activities.routers import envoy_document, envoy_routes, route_files, watching
from activities.routers.base import Router
from activities.routers.envoy import EnvoyRouter
from activities.routers.envoy_document import RouteDocument
from activities.routers.locked_files import replace
from activities.routers.weights import weight_units
from coalmine.local.envoy import EnvoyProxy, route_response
from coalmine.records import Confirmation, ProxyState, Weights
from coalmine.spec.canary import Route
from coalmine.testing.fake_router import FakeRouter
from coalmine.testing.router_contract import CANARY, DEAD, STABLE, UNKNOWN, Lack, RouterWorld
from coalmine.testing.router_world import live, state_of
from tests.routers.frozen import freeze, thaw

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
class FakeWorld(RouterWorld):
    """A fake data plane."""

    router: FakeRouter
    route: Route = field(default_factory=lambda: Route(router="fake", name="shop"))
    lacks: Mapping[Lack, str] = field(
        default_factory=lambda: {
            "missing route": "the fake has every route it is asked for",
            "hang": "no proxy of the fake makes anybody wait",
        }
    )

    @property
    def workers(self) -> Sequence[Router]:
        return [self.router, self.router]

    @property
    def proxies(self) -> Sequence[str]:
        return list(self.router.shown(self.route.name))

    @property
    def second(self) -> Route:
        return Route(router="fake", name="store")

    async def stop(self, proxy: str) -> None:
        self.router.take_down(proxy)

    async def start(self, proxy: str) -> None:
        self.router.bring_up(proxy)

    async def meddle(self, weights: Weights) -> None:
        generation = (await self.router.read(self.route)).generation
        self.router.overtake(self.route.name, weights, generation)

    async def foreign(self) -> object:
        return self.router.shown(self.second.name)

    def refuse_next(self) -> None:
        self.router.reject_next(route=self.route.name)

    def lose_next_answer(self) -> None:
        self.router.lose_answers(1)

    def cut_next_short(self) -> None:
        self.router.cut_short(1)


class Forgetful(FakeRouter):
    """Its proxies forget the weights when they restart, until they are written again."""

    def bring_up(self, proxy: str) -> None:
        super().bring_up(proxy)
        for plane in self._planes.values():
            shown = plane.proxies[proxy]
            shown.weights, shown.generation, shown.cut = self._first, 0, True


class Unconfirming(FakeRouter):
    """Nobody can say which proxies have taken a write."""

    able = FakeRouter.able.model_copy(update={"confirm": False})

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        told = await super().confirm(route, generation, backends)
        unsaid = Confirmation(answer="unsupported", reason="the proxies do not say", proxies=told.proxies)
        return told if told.answer == "no" else unsaid


def fake_of(kind: type[FakeRouter]) -> FakeWorld:
    """A fake of that kind, at rest."""
    router = kind({STABLE: 100, CANARY: 0, DEAD: 0})
    router.end_endpoints(DEAD)
    return FakeWorld(router)


@dataclass
class EnvoyWorld(RouterWorld):
    """Real Envoys."""

    route: Route
    files: list[Path]
    envoys: dict[str, EnvoyProxy]
    patch: pytest.MonkeyPatch
    second_file: Path
    _workers: Sequence[Router] = field(default_factory=lambda: [EnvoyRouter(), EnvoyRouter()])

    def __post_init__(self) -> None:
        if len(self.files) == 1:
            self.lacks = {"parts": "all proxies watch one file, which is replaced whole"}

    @property
    def workers(self) -> Sequence[Router]:
        return self._workers

    @property
    def proxies(self) -> Sequence[str]:
        return list(self.envoys)

    @property
    def second(self) -> Route:
        return envoy_route([self.second_file], list(self.envoys), SECOND)

    async def stop(self, proxy: str) -> None:
        await self.envoys[proxy].stop()

    async def start(self, proxy: str) -> None:
        await self.envoys[proxy].start()

    async def hang(self, proxy: str) -> None:
        freeze(self.envoys[proxy].pid, self.patch)

    async def resume(self, proxy: str) -> None:
        thaw(self.envoys[proxy].pid)

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

    def lose_next_answer(self) -> None:
        """Let the disk report an error once the file is in its place, as it may for its folder."""
        self._replace_badly(set(), then_fail=True)

    def cut_next_short(self) -> None:
        """Let every file but the first be out of reach once."""
        self._replace_badly({self.files[0].name}, then_fail=False)

    def _replace_badly(self, sound: set[str], *, then_fail: bool) -> None:
        failed: set[str] = set()

        def badly(path: Path, text: str) -> None:
            fails = path.name not in sound | failed
            failed.add(path.name)
            if not fails or then_fail:
                replace(path, text)
            if fails:
                raise OSError(errno.EIO, "Input/output error")

        self.patch.setattr(route_files, "replace", badly)

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
