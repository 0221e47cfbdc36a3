"""Real nginxes that include one file, or a file each."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from activities.routers.base import Router
from activities.routers.locked_files import replace
from activities.routers.nginx import NginxRouter
from activities.routers.nginx_split import NginxSplit
from activities.routers.weights import weight_units
from coalmine.local.nginx import Nginx
from coalmine.records import Weights
from coalmine.spec.canary import Route
from coalmine.testing.router_contract import CANARY, DEAD, STABLE
from tests.routers.disk_trouble import FileWorld

EVERY = 0.1
"""Seconds between two reloads here: one a second would make these tests take minutes."""
MOVING = re.compile(r"split_clients \"[^\"]*\" \$\w+ \{[^}]*\}|map \"\" \$\w+_route [^}]*\}")


def first(name: str) -> str:
    """A file nobody of ours has written."""
    return f"""\
# The way into the {name}. Ask before you touch it.
split_clients "${{request_id}}" ${name} {{
    * stable;   # all of it
}}
map "" ${name}_route {{ default "0"; }}
map $http_x_beta ${name}_beta {{ default ""; "yes" canary; }}
"""


@dataclass
class NginxWorld(FileWorld):
    """Real nginxes."""

    route: Route
    second_route: Route
    files: list[Path]
    running: dict[str, Nginx]
    patch: pytest.MonkeyPatch
    _workers: Sequence[Router] = field(default_factory=lambda: [NginxRouter(EVERY), NginxRouter(EVERY)])

    @property
    def second(self) -> Route:
        return self.second_route

    async def meddle(self, weights: Weights) -> None:
        """Deploy the files anew, with a version of the deployment's own, and reload."""
        for path in self.files:
            document = NginxSplit(str(path), path.read_text(), self.route.name)
            document.set_weights(weight_units(weights))
            document.stamp(1)
            replace(path, re.sub(r'(_route \{ default )"[^"]*"', r'\1"deployed"', document.render()))
        for proxy in self.running.values():
            os.kill(int(proxy.pid_file.read_text()), signal.SIGHUP)
        while not all(proxy.ok for proxy in (await self._workers[0].read(self.route, list(weights))).proxies):
            await asyncio.sleep(0.01)

    async def meddle_under_the_mark(self, weights: Weights) -> None:
        """Change the shares in the files, and nothing else, and reload."""
        for path in self.files:
            mark = re.compile(r'_route \{ default "[^"]*"')
            text = path.read_text()
            document = NginxSplit(str(path), text, self.route.name)
            document.set_weights(weight_units(weights))
            replace(path, mark.sub(mark.findall(text)[0], document.render()))
        for proxy in self.running.values():
            os.kill(int(proxy.pid_file.read_text()), signal.SIGHUP)

    async def foreign(self) -> object:
        """The files but the block and the variable that move."""
        (second,) = self.second_route.options["files"]
        ours = [MOVING.sub("", await asyncio.to_thread(path.read_text)) for path in self.files]
        return ours, await asyncio.to_thread(Path(second).read_text)

    def refuse_next(self) -> None:
        """Let the next file have a share nginx does not take, as if a version of it counted otherwise."""
        left = len(self.files)
        real = NginxSplit.render

        def wrong(document: NginxSplit) -> str:
            nonlocal left
            left -= 1
            text = real(document)
            return text.replace("    * ", "    100.01% nobody;\n    * ", 1) if left >= 0 else text

        self.patch.setattr(NginxSplit, "render", wrong)


@asynccontextmanager
async def nginx_world(
    folder: Path, patch: pytest.MonkeyPatch, files: int, proxies: int = 2, kind: type[Nginx] = Nginx
) -> AsyncIterator[NginxWorld]:
    """Proxies by turns on these many files, each with a second route of its own beside."""
    paths = [folder / f"routes-{number}" / "shop.conf" for number in range(files)]
    for path in paths:
        path.parent.mkdir()
        path.write_text(first("shop"))
    store = folder / "store.conf"
    store.write_text(first("store"))
    async with AsyncExitStack() as stack:
        endpoints = {name: [await stack.enter_async_context(listening())] for name in (STABLE, CANARY)}
        running = [
            kind(folder / f"nginx-{number}", {"shop": paths[number % files], "store": store}, {**endpoints, DEAD: []})
            for number in range(proxies)
        ]
        for proxy in running:
            await stack.enter_async_context(proxy)
        yield NginxWorld(
            nginx_route("shop", paths, running),
            nginx_route("store", [store], running),
            paths,
            {proxy.status("shop"): proxy for proxy in running},
            patch,
        )


@asynccontextmanager
async def listening() -> AsyncIterator[str]:
    """A server that lets everybody in and says nothing: ``host:port``."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def nginx_route(name: str, files: Sequence[Path], proxies: Sequence[Nginx]) -> Route:
    """The route of a spec."""
    return Route.model_validate(
        {
            "router": "nginx",
            "name": name,
            "files": [str(path) for path in files],
            "proxies": [proxy.option(name) for proxy in proxies],
        }
    )
