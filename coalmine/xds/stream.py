"""The one call Envoys make: a stream of what they ask for and acknowledge, and of routes as they change.

``AggregatedDiscoveryService/StreamAggregatedResources``, state of the world. Routes are served, nothing else: a request
for another type gets no answer, which leaves a proxy what it has; an empty one would take it away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import structlog

from coalmine.errors import MissingExtra
from coalmine.xds.messages import ROUTE, TYPE_URL, request_type, response_type
from coalmine.xds.proxies import Connection, Proxies
from coalmine.xds.subscription import Response, Served

try:
    import grpc
except ModuleNotFoundError as error:
    raise MissingExtra("xds", "a control plane") from error

SERVICE, METHOD = "envoy.service.discovery.v3.AggregatedDiscoveryService", "StreamAggregatedResources"
ROUTES = f"{TYPE_URL}{ROUTE}"
LONGEST_WORDS = 2_000
"""Characters of a refusal that are kept."""
_log = structlog.get_logger("coalmine.xds")


class Streams:
    """Answers every stream out of the same routes."""

    def __init__(self, proxies: Proxies, routes: Callable[[], Mapping[str, Served]]) -> None:
        """``routes`` says what is served now."""
        self._proxies = proxies
        self._routes = routes

    def handler(self) -> Any:
        """For a ``grpc.aio`` server; no generated code is needed."""
        method = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=request_type().FromString,
            response_serializer=response_type().SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})

    async def _stream(self, requests: AsyncIterator[Any], context: Any) -> None:
        first = await anext(aiter(requests), None)
        if first is None:
            return
        if not first.node.id:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "node.id is missing: give each proxy one of its own")
        try:
            with self._proxies.connected(first.node.id, context.peer()) as connection:
                _log.info("proxy connected", node=connection.node, address=connection.address)
                hearing = asyncio.create_task(self._hear(first, requests, connection))
                try:
                    await self._tell(connection, hearing, context)
                finally:
                    hearing.cancel()
                    await asyncio.gather(hearing, return_exceptions=True)
        finally:
            _log.info("proxy gone", node=first.node.id, address=context.peer())
            await self._proxies.heard()

    async def _tell(self, connection: Connection, hearing: asyncio.Task[None], context: Any) -> None:
        """Send what is due, until the proxy has nothing more to say."""
        while not hearing.done():
            connection.due.clear()
            response = connection.subscription.next(self._routes())
            if response is not None:
                await context.write(_message(response))
            else:
                await connection.due.wait()

    async def _hear(self, first: Any, requests: AsyncIterator[Any], connection: Connection) -> None:
        try:
            await self._heard(first, connection)
            async for request in requests:
                await self._heard(request, connection)
        finally:
            connection.due.set()

    async def _heard(self, request: Any, connection: Connection) -> None:
        if request.type_url != ROUTES:
            if request.type_url not in connection.foreign:
                connection.foreign.add(request.type_url)
                _log.warning("not served here", node=connection.node, type=request.type_url)
            return
        error = None
        if request.HasField("error_detail"):
            error = " ".join(request.error_detail.message.split())[:LONGEST_WORDS]
            _log.warning("proxy refused a route", node=connection.node, reason=error)
        connection.subscription.heard(request.resource_names, request.version_info, request.response_nonce, error)
        connection.due.set()
        await self._proxies.heard()


def _message(response: Response) -> Any:
    message = response_type()(version_info=response.served.version, nonce=response.nonce, type_url=ROUTES)
    message.resources.add(type_url=ROUTES, value=response.served.content)
    return message
