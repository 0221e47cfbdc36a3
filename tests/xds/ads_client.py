"""A proxy that says what a test wants it to say, over real gRPC."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from coalmine.xds.messages import request_type, response_type
from coalmine.xds.stream import METHOD, ROUTES, SERVICE

WITHIN = 60.0
"""Seconds; long, because no test judges speed."""


class AdsProxy:
    """``async with AdsProxy(plane.address, "edge-1") as proxy: await proxy.ask("shop"); await proxy.hear()``."""

    def __init__(self, address: str, node: str, credentials: Any = None) -> None:
        self._address, self._node, self._credentials = address, node, credentials
        self._names: tuple[str, ...] = ()
        self._took = ""

    async def __aenter__(self) -> AdsProxy:
        self._channel = (
            grpc.aio.secure_channel(self._address, self._credentials)
            if self._credentials
            else grpc.aio.insecure_channel(self._address)
        )
        call = self._channel.stream_stream(
            f"/{SERVICE}/{METHOD}",
            request_serializer=request_type().SerializeToString,
            response_deserializer=response_type().FromString,
        )
        self.stream = call()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.cancel()
        await self._channel.close()

    async def ask(self, *names: str, type_url: str = ROUTES) -> None:
        """Ask for routes, as a proxy does that has just connected."""
        self._names = names
        await self._say(type_url=type_url)

    async def hear(self) -> Any:
        """The next answer."""
        async with asyncio.timeout(WITHIN):
            return await self.stream.read()

    async def take(self, response: Any) -> None:
        """Acknowledge it."""
        self._took = response.version_info
        await self._say(nonce=response.nonce)

    async def refuse(self, response: Any, words: str) -> None:
        """Keep what it has, and say why."""
        await self._say(nonce=response.nonce, words=words)

    async def _say(self, nonce: str = "", words: str | None = None, type_url: str = ROUTES) -> None:
        request = request_type()(
            version_info=self._took, response_nonce=nonce, type_url=type_url, resource_names=self._names
        )
        request.node.id = self._node
        if words is not None:
            request.error_detail.message = words
        await self.stream.write(request)
