"""The control plane's own interface: routes and proxies as JSON, and weights under a generation.

``GET /routes/NAME`` and ``PUT /routes/NAME`` are what the router ``envoy-xds`` uses; ``GET /routes`` and
``GET /proxies`` are for people. ``GET /healthz`` needs no token.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web
from pydantic import ValidationError

from activities.routers.xds_answers import Refused, Wanted
from coalmine.errors import RouteRejected, RouterError

if TYPE_CHECKING:
    from coalmine.xds.control_plane import ControlPlane

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_STATUS = {"RouteRejected": 422, "StaleGeneration": 409}


class Admin:
    """The interface of one control plane."""

    def __init__(self, plane: ControlPlane, token: str | None) -> None:
        """``token`` is what every request but that for its health must bear; None: none."""
        self._plane = plane
        self._token = token

    def app(self) -> web.Application:
        """To be served by aiohttp."""
        app = web.Application(client_max_size=256 * 1024, middlewares=[self._guarded])
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/proxies", self._proxies)
        app.router.add_get("/routes", self._routes)
        app.router.add_get("/routes/{name}", self._read)
        app.router.add_put("/routes/{name}", self._write)
        app.router.add_post("/routes/{name}/rehearsal", self._rehearse)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._token is not None and request.path != "/healthz":
            borne = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(borne.encode(), self._token.encode()):
                return _refused("Unauthorized", "bear the token: Authorization: Bearer ...", 401)
        try:
            return await handler(request)
        except RouterError as error:
            return _refused(type(error).__name__, str(error), _STATUS.get(type(error).__name__, 503))

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response(self._plane.health())

    async def _routes(self, request: web.Request) -> web.Response:
        return web.json_response(self._plane.routes())

    async def _proxies(self, request: web.Request) -> web.Response:
        return web.json_response({"proxies": self._plane.connections()})

    async def _read(self, request: web.Request) -> web.Response:
        answer = await self._plane.read(request.match_info["name"])
        return web.json_response(text=answer.model_dump_json())

    async def _write(self, request: web.Request) -> web.Response:
        answer = await self._plane.write(request.match_info["name"], await _wanted(request))
        return web.json_response(text=answer.model_dump_json())

    async def _rehearse(self, request: web.Request) -> web.Response:
        await self._plane.rehearse(request.match_info["name"], await _wanted(request))
        return web.json_response({})


async def _wanted(request: web.Request) -> Wanted:
    try:
        return Wanted.model_validate_json(await request.read())
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors())
        raise RouteRejected(problems) from error


def _refused(error: str, reason: str, status: int) -> web.Response:
    return web.json_response(Refused(error=error, reason=reason).model_dump(), status=status)
