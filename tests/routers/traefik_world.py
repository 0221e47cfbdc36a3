"""Real Traefiks that watch one file, or a file each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from activities.routers.base import Router
from activities.routers.locked_files import locked, replace
from activities.routers.traefik import TraefikRouter
from activities.routers.traefik_document import HEADER, TraefikDocument, carrier
from activities.routers.weights import weight_units
from coalmine.local.traefik import Traefik
from coalmine.records import Weights
from coalmine.spec.canary import Route
from coalmine.testing.router_contract import UNKNOWN
from tests.routers.disk_trouble import FileWorld
from tests.routers.envoy_world import all_show

SHOP = """\
# The shop's way in. Mind the admin pages.
http:
  routers:
    shop: {rule: "PathPrefix(`/`)", entryPoints: [web], service: shop}   # everything
  services:
    shop:
      weighted:
        services:
          - {name: stable, weight: 1}
    stable: {loadBalancer: {servers: [{url: "http://127.0.0.1:9"}]}}
    canary: {loadBalancer: {servers: [{url: "http://127.0.0.1:9"}]}}
    dead: {loadBalancer: {servers: []}}
  middlewares:
    # of the admin pages
    admins: {basicAuth: {users: ["ana:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]}}
"""
STORE = """\
http:
  routers:
    store: {rule: "Host(`store`)", entryPoints: [web], service: store}
  services:
    store: {weighted: {services: [{name: stable, weight: 1}]}}
"""


@dataclass
class TraefikWorld(FileWorld):
    """Real Traefiks."""

    route: Route
    second_route: Route
    files: list[Path]
    running: dict[str, Traefik]
    patch: pytest.MonkeyPatch
    _workers: Sequence[Router] = field(default_factory=lambda: [TraefikRouter(), TraefikRouter()])

    @property
    def second(self) -> Route:
        return self.second_route

    async def meddle(self, weights: Weights) -> None:
        """Deploy the files anew, with a version of the deployment's own."""
        for path in self.files:
            document = TraefikDocument(str(path), path.read_text(), self.route.name)
            document.set_weights(weight_units(weights))
            middlewares = document._content["http"]["middlewares"]
            middlewares[carrier(self.route.name)]["headers"]["customRequestHeaders"][HEADER] = "deployed"
            replace(path, document.render())
        while not all(proxy.ok for proxy in (await self._workers[0].read(self.route, list(weights))).proxies):
            await asyncio.sleep(0.01)

    async def meddle_under_the_mark(self, weights: Weights) -> None:
        """Change the weights in the files, and nothing else."""
        for path in self.files:
            document = TraefikDocument(str(path), path.read_text(), self.route.name)
            document.set_weights(weight_units(weights))
            replace(path, document.render())
        await all_show(self, weights)

    async def foreign(self) -> object:
        """The files without the weights and our version, and their comments."""
        kept: list[object] = []
        for path in self.files:
            text = path.read_text()
            content = YAML(typ="safe").load(text)
            content["http"]["middlewares"].pop(carrier(self.route.name), None)
            del content["http"]["services"][self.route.name]
            kept += [content, [line for line in text.splitlines() if "#" in line]]
        for second in self.second_route.options["files"]:
            kept.append(await asyncio.to_thread(Path(second).read_text))
        return kept

    def refuse_next(self) -> None:
        """Name a service nobody knows in the next write, as if it had vanished after it was looked for."""
        left = len(self.files)
        real = TraefikDocument.render

        def with_ghost(document: TraefikDocument) -> str:
            nonlocal left
            left -= 1
            if left >= 0:
                document._weighted["services"].append({"name": UNKNOWN, "weight": 1})
            return real(document)

        self.patch.setattr(TraefikDocument, "render", with_ghost)
        # One of a busy machine may take a while to refuse it.
        self.patch.setattr(TraefikRouter, "patience", 20.0)


@asynccontextmanager
async def traefik_world(
    folder: Path, patch: pytest.MonkeyPatch, files: int, proxies: int = 2, shop: str = SHOP
) -> AsyncIterator[TraefikWorld]:
    """Proxies by turns on these many folders, each with a second route beside."""
    folders = [folder / f"dynamic-{number}" for number in range(files)]
    for dynamic in folders:
        dynamic.mkdir()
        (dynamic / "shop.yml").write_text(shop)
        (dynamic / "store.yml").write_text(STORE)
    paths = [dynamic / "shop.yml" for dynamic in folders]
    with locked(paths):
        # The lock's own file is one more that Traefik hears of when it comes.
        pass
    async with AsyncExitStack() as stack:
        running = [Traefik(folder / f"traefik-{number}", folders[number % files]) for number in range(proxies)]
        for proxy in running:
            await stack.enter_async_context(proxy)
        apis = [proxy.api for proxy in running]
        world = TraefikWorld(
            traefik_route("shop", paths, apis),
            traefik_route("store", [dynamic / "store.yml" for dynamic in folders], apis),
            paths,
            dict(zip(apis, running, strict=True)),
            patch,
        )
        while not all(check.ok for check in await TraefikRouter().check(world.route, ["stable", "canary"], [10])):
            await asyncio.sleep(0.01)
        yield world


def traefik_route(name: str, files: Sequence[Path], apis: Sequence[str]) -> Route:
    """The route of a spec."""
    return Route.model_validate(
        {"router": "traefik", "name": name, "files": [str(path) for path in files], "apis": list(apis)}
    )
