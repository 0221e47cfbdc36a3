"""A newer nginx than the one in PATH: asked by its own program, and kept connections outlive its reloads."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from activities.routers.nginx import NginxRouter
from activities.routers.nginx_process import LOSES_REQUESTS
from coalmine.local.nginx import Nginx
from coalmine.testing.router_contract import CANARY, STABLE
from tests.routers.nginx_world import first, nginx_route

REQUEST = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


async def test_a_connection_that_a_client_keeps_is_answered_after_a_reload(tmp_path: Path) -> None:
    file = tmp_path / "shop.conf"
    file.write_text(first("shop"))
    app = web.Application()
    app.router.add_get("/", _ok)
    async with TestServer(app) as backend:
        address = f"127.0.0.1:{backend.port}"
        proxy = Nginx(tmp_path / "nginx", {"shop": file}, {STABLE: [address], CANARY: [address]}, over_reloads=True)
        async with proxy:
            router, route = NginxRouter(0.05), nginx_route("shop", [file], [proxy])
            # Its configuration says keepalive_min_timeout, which the distribution's nginx does not know.
            checks = await router.check(route, [STABLE, CANARY], [10])
            assert [check for check in checks if not check.ok or LOSES_REQUESTS in check.reason] == []
            reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url("shop").rpartition(":")[2]))
            try:
                writer.write(REQUEST)
                assert b"keep-alive" in await _head(reader)
                await router.apply(route, {STABLE: 50, CANARY: 50}, 1)
                while (await router.confirm(route, 1, [STABLE, CANARY])).answer != "yes":
                    await asyncio.sleep(0.01)
                # The worker that has it is told a little later than the new ones begin, on a busy machine.
                head = b""
                while b"Connection: close" not in head:
                    writer.write(REQUEST)
                    head = await _head(reader)
                    assert head.startswith(b"HTTP/1.1 200")
            finally:
                writer.close()


async def _ok(request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _head(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(2) == b"ok"
    return head
