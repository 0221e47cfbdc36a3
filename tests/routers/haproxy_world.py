"""Real HAProxies whose map is one file, or a file each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from activities.routers import haproxy
from activities.routers.base import Router
from activities.routers.haproxy import HAProxyRouter
from activities.routers.haproxy_map import VERSION_KEY, HAProxyMap, entries, version_in
from activities.routers.haproxy_socket import StatsSocket
from activities.routers.locked_files import replace
from activities.routers.splits import Reading
from activities.routers.weights import weight_units
from coalmine.local.haproxy import HAProxy
from coalmine.records import Weights
from coalmine.spec.canary import Route
from coalmine.testing.router_contract import CANARY, DEAD, STABLE
from tests.routers.disk_trouble import FileWorld

NOBODY = "127.0.0.1:9"
"""An endpoint HAProxy takes for healthy as long as it is not told to check it."""
BACKENDS: dict[str, Sequence[str]] = {STABLE: [NOBODY], CANARY: [NOBODY], DEAD: []}
FIRST = "# The shop's way in.\n\n0:9999 stable\n"


@dataclass
class HAProxyWorld(FileWorld):
    """Real HAProxies."""

    route: Route
    second_route: Route
    files: list[Path]
    running: dict[str, HAProxy]
    patch: pytest.MonkeyPatch
    _workers: Sequence[Router] = field(default_factory=lambda: [HAProxyRouter(), HAProxyRouter()])

    @property
    def second(self) -> Route:
        return self.second_route

    async def meddle(self, weights: Weights) -> None:
        """Tell every proxy other weights by its socket, and leave the files as they are."""
        reading = written(self.files[0], weights)
        for socket in self.running:
            stats = StatsSocket(socket)
            path = stats.find_map([str(path) for path in self.files])
            assert path is not None
            await asyncio.to_thread(stats.replace, path, entries(reading), 1_000_000)

    async def meddle_under_the_mark(self, weights: Weights) -> None:
        """Deal anew in the files, leave the line of the version, and start every proxy again."""
        for path in self.files:
            mark = version_in(path.read_text().splitlines()).text
            document = HAProxyMap(str(path), path.read_text(), self.route.name)
            document.set_weights(weight_units(weights))
            replace(path, f"{document.render()}{VERSION_KEY} {mark}\n")
        for proxy in list(self.running):
            await self.stop(proxy)
            await self.start(proxy)

    async def foreign(self) -> object:
        """The other route's file and map, and the comments of ours."""
        comments = [[line for line in path.read_text().splitlines() if line[:1] in ("", "#")] for path in self.files]
        (second,) = self.second_route.options["files"]
        shown = [await asyncio.to_thread(StatsSocket(socket).shown, second) for socket in self.running]
        return comments, await asyncio.to_thread(Path(second).read_text), shown

    def refuse_next(self) -> None:
        """Let the last proxy be told a key it takes for none, as if a version of HAProxy had other ones."""
        left = 1
        real: Callable[[Reading], list[str]] = entries

        def wrong(reading: Reading) -> list[str]:
            nonlocal left
            left -= 1
            return ["0:x stable", *real(reading)] if left == 0 else real(reading)

        self.patch.setattr(haproxy, "entries", wrong)


def written(path: Path, weights: Weights) -> Reading:
    """What a map file would say with these weights, and its version as it is."""
    document = HAProxyMap(str(path), path.read_text(), path.stem)
    version = document.reading().version
    document.set_weights(weight_units(weights))
    split = document.reading().splits
    return Reading(str(path), version, split, split[0].clusters)


@asynccontextmanager
async def haproxy_world(
    folder: Path, patch: pytest.MonkeyPatch, files: int, proxies: int = 2
) -> AsyncIterator[HAProxyWorld]:
    """Proxies by turns on these many files, each with a second route of its own beside."""
    paths = [folder / f"maps-{number}" / "shop.map" for number in range(files)]
    for path in paths:
        path.parent.mkdir()
        path.write_text(FIRST)
    store = folder / "store.map"
    store.write_text("# Nobody's but the store's.\n0:9999 stable\n")
    async with AsyncExitStack() as stack:
        running = [
            HAProxy(folder / f"haproxy-{number}", {"shop": paths[number % files], "store": store}, BACKENDS)
            for number in range(proxies)
        ]
        for proxy in running:
            await stack.enter_async_context(proxy)
        sockets = [proxy.socket for proxy in running]
        yield HAProxyWorld(
            haproxy_route("shop", paths, sockets),
            haproxy_route("store", [store], sockets),
            paths,
            dict(zip(sockets, running, strict=True)),
            patch,
        )


def haproxy_route(name: str, files: Sequence[Path], sockets: Sequence[str]) -> Route:
    """The route of a spec."""
    return Route.model_validate(
        {"router": "haproxy", "name": name, "files": [str(path) for path in files], "sockets": list(sockets)}
    )
