"""What worlds of real proxies have in common: processes of ours, that can be stopped and frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import pytest

from activities.routers.base import Router
from coalmine.testing.router_contract import RouterWorld
from tests.routers.frozen import freeze, thaw


class Proxy(Protocol):
    """One proxy."""

    @property
    def pid(self) -> int | None:
        """While it runs."""

    async def start(self) -> None:
        """Start it."""

    async def stop(self) -> None:
        """End it."""


class ProxyWorld(RouterWorld):
    """Real proxies, by the names the router has for them."""

    running: Mapping[str, Proxy]
    patch: pytest.MonkeyPatch
    _workers: Sequence[Router]

    @property
    def workers(self) -> Sequence[Router]:
        return self._workers

    @property
    def proxies(self) -> Sequence[str]:
        return list(self.running)

    async def stop(self, proxy: str) -> None:
        await self.running[proxy].stop()

    async def start(self, proxy: str) -> None:
        await self.running[proxy].start()

    async def hang(self, proxy: str) -> None:
        freeze(self.running[proxy].pid, self.patch)

    async def resume(self, proxy: str) -> None:
        thaw(self.running[proxy].pid)
