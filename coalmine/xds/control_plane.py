"""A control plane for Envoys on several hosts: what its files say is what every proxy is sent, and nothing else.

Writes come by one door: the generation is compared under the lock the file is replaced under. A route that a proxy
refuses is put back at once, by the control plane itself, so that no proxy that restarts meanwhile is left without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog
from aiohttp import web

from activities.routers.envoy_users import Users
from activities.routers.route_files import WriteResult
from activities.routers.watching import PATIENCE
from activities.routers.weights import weight_units
from activities.routers.xds_answers import RouteAnswer, Wanted
from coalmine.errors import InputError, RouteRejected, RouterError
from coalmine.xds import remembered
from coalmine.xds.admin import Admin
from coalmine.xds.listening import LOOPBACK, OPEN, Address, Security, grpc_server
from coalmine.xds.proxies import Proxies
from coalmine.xds.route_folder import RouteFolder
from coalmine.xds.stream import Streams
from coalmine.xds.subscription import Served

EVERY = 0.25
"""Seconds between two looks at the folder, for files that others write."""
FORGET = 60.0
"""Seconds a proxy that was lost is told of, and keeps a change from being confirmed."""
_log = structlog.get_logger("coalmine.xds")


class ControlPlane:
    """``async with ControlPlane(folder) as plane: plane.url, plane.admin_url``."""

    def __init__(
        self,
        folder: Path,
        listen: Address = LOOPBACK,
        admin: Address = LOOPBACK,
        security: Security = OPEN,
        *,
        forget: float = FORGET,
        every: float = EVERY,
    ) -> None:
        """Serve the route files of ``folder``; port 0 takes a free one."""
        self.folder = folder
        self._folder = RouteFolder(folder)
        self._listen, self._admin, self._security, self._every = listen, admin, security, every
        self._proxies = Proxies(forget)
        self._one = asyncio.Lock()
        self._ending = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []
        self.address = ""
        """Where proxies connect: ``HOST:PORT``."""
        self.admin_url = ""

    async def __aenter__(self) -> ControlPlane:
        """Read the files, and listen.

        Raises:
            InputError: an address cannot be listened on, or a certificate cannot be used.
        """
        tls = self._security.admin_tls()
        await self._look()
        self._kept = await asyncio.to_thread(remembered.load, self.folder)
        self._proxies.expect(self._kept)
        self._server = grpc_server()
        self._server.add_generic_rpc_handlers((Streams(self._proxies, lambda: self._folder.served).handler(),))
        try:
            port = self._security.add_port(self._server, self._listen)
        except RuntimeError as error:
            raise InputError(f"--listen: {self._listen} cannot be listened on ({error})") from error
        self._runner = web.AppRunner(Admin(self, self._security.token).app(), access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._admin.host, self._admin.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise InputError(f"--admin: {self._admin} cannot be listened on ({error.strerror})") from error
        await self._server.start()
        self.address = str(Address(self._listen.host, port))
        scheme = "https" if self._security.certificate else "http"
        self.admin_url = f"{scheme}://{Address(self._admin.host, self._runner.addresses[0][1])}"
        self._running = [asyncio.create_task(self._keep_looking())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not cancelled: a thread that is saving goes on all the same, and would save after the last word of us.
        self._ending.set()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._runner.cleanup()
        await self._keep()
        await self._server.stop(None)

    async def read(self, name: str) -> RouteAnswer:
        """The route as its file says it now, and what each proxy has of it.

        Raises:
            RouteRejected: there is none, or its file is broken.
            RouterUnreachable: the file cannot be read.
        """
        async with self._alone() as folder:
            reading = await asyncio.to_thread(folder.read, name)
        return RouteAnswer(route=reading, proxies=self._proxies.answers(name))

    async def write(self, name: str, wanted: Wanted) -> RouteAnswer:
        """Write weights, send them, and tell when every proxy has answered or a second is over.

        Raises:
            StaleGeneration: a newer generation is there, or this one with other weights.
            RouteRejected: wrong weights; or a proxy refused the route, and what was there before is there again.
            RouterUnreachable: the file could not be written.
        """
        units = weight_units(wanted.weights)
        if wanted.generation < 1:
            raise RouteRejected(f"generation {wanted.generation}: generations count from 1")
        users = Users(wanted.sticky, wanted.testers, wanted.mirror)
        async with self._alone() as folder:
            result = await asyncio.to_thread(folder.write, name, units, wanted.generation, users)
            served = folder.served[name]
        refusals = await self._proxies.verdicts(served, lambda: self._folder.served, PATIENCE)
        if refusals:
            await self._undo(name, wanted.generation, result, refusals)
        return await self.read(name)

    async def rehearse(self, name: str, wanted: Wanted) -> None:
        """Everything a write does but the write.

        Raises:
            RouteRejected: it would fail; says why.
        """
        users = Users(wanted.sticky, wanted.testers, wanted.mirror)
        units = weight_units(wanted.weights)
        async with self._alone() as folder:
            problem = await asyncio.to_thread(folder.rehearse, name, units, users)
        if problem:
            raise RouteRejected(problem)

    def health(self) -> dict[str, Any]:
        """How many routes, streams, and files that cannot be taken up: numbers alone, because everybody may ask."""
        return {
            "routes": len(self._folder.served),
            "proxies": len(self._proxies),
            "trouble": len(self._folder.trouble),
        }

    def routes(self) -> dict[str, Any]:
        """Version by route, and what is wrong with files."""
        versions = {name: served.version for name, served in sorted(self._folder.served.items())}
        return {"routes": versions, "trouble": sorted(self._folder.trouble.values())}

    def connections(self) -> list[dict[str, Any]]:
        """Every stream: who, from where, and what it has and refused."""
        return [
            {
                "node": one.node,
                "address": one.address,
                "asks": sorted(one.subscription.wanted),
                "has": {name: served.version for name, served in sorted(one.subscription.has.items())},
                "refused": {
                    name: {"version": served.version, "reason": reason}
                    for name, (served, reason) in sorted(one.subscription.refused.items())
                },
                "not_served_here": sorted(one.foreign),
            }
            for one in sorted(self._proxies, key=lambda one: one.node)
        ]

    async def _undo(self, name: str, generation: int, result: WriteResult, refusals: dict[str, str]) -> None:
        told = "; ".join(f"{node}: Envoy refused the route: {reason}" for node, reason in sorted(refusals.items()))
        if not result.written:
            raise RouteRejected(f"{told}. It was there already: nothing is put back")
        try:
            async with self._alone() as folder:
                back = await asyncio.to_thread(folder.put_back, result.written[0], name, generation)
                served: Served = folder.served[name]
        except RouterError as error:
            raise RouteRejected(f"{told}. The last good file could not be put back: {error}") from error
        if not back:
            raise RouteRejected(f"{told}. Somebody has written the file since: it stays as it is")
        again = await self._proxies.verdicts(served, lambda: self._folder.served, PATIENCE)
        mend = f", which {', '.join(sorted(again))} did not take either: mend the file by hand" if again else ""
        raise RouteRejected(f"{told}. The route is as it was before, under generation {generation}{mend}")

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[RouteFolder]:
        """The folder, for one at a time; proxies hear of what has changed in it, also when something failed then."""
        async with self._one:
            before = self._folder.served
            try:
                yield self._folder
            finally:
                if self._folder.served is not before:
                    self._proxies.changed()
                    await self._proxies.heard()

    async def _look(self) -> None:
        async with self._alone() as folder:
            await asyncio.to_thread(folder.look)

    async def _keep_looking(self) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), self._every)
            await self._look()
            await self._keep()

    async def _keep(self) -> None:
        if self._proxies.known != self._kept:
            self._kept = self._proxies.known
            await asyncio.to_thread(remembered.save, self.folder, self._kept)
