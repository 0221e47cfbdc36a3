"""Reaching rollouts: what the chat app needs of ``coalmine.client``, connected when it is first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol

from coalmine.client import RolloutRef, RolloutRow
from coalmine.records import CommandReceipt, DecisionLog, RolloutStatus, Verb


class Rollouts(Protocol):
    """What ``coalmine.client.Coalmine`` does for the chat app."""

    async def find(self, name: str, environment: str | None = None, region: str | None = None) -> RolloutRef:
        """The rollout a person means."""
        ...

    async def rollouts(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        region: str | None = None,
        running: bool | None = None,
        limit: int = 50,
    ) -> list[RolloutRow]:
        """Open ones first, then the latest closed."""
        ...

    async def status(self, ref: RolloutRef) -> RolloutStatus:
        """Everything about one."""
        ...

    async def decisions(self, ref: RolloutRef) -> DecisionLog:
        """Its record."""
        ...

    async def send(
        self,
        ref: RolloutRef,
        verb: Verb,
        *,
        by: str,
        reason: str = "",
        gate: str | None = None,
        attempt: int | None = None,
        longer: timedelta | None = None,
        token: str | None = None,
        break_glass: bool = False,
        once: str | None = None,
    ) -> CommandReceipt:
        """Say something; the same ``once`` is said once."""
        ...

    def ui_link(self, workflow_id: str, run_id: str | None = None) -> str | None:
        """Where the Temporal UI shows one."""
        ...


class Reach:
    """One connection for all; made when it is needed, and tried again by the next who needs it."""

    def __init__(self, connect: Callable[[], Awaitable[Rollouts]]) -> None:
        self._connect = connect
        self._trying: asyncio.Task[Rollouts] | None = None
        self._found: Rollouts | None = None

    async def __call__(self) -> Rollouts:
        """The connection. Whoever asks while it is being tried hears what comes of that one try.

        Raises:
            TemporalUnavailable: there is none now.
        """
        if self._found is not None:
            return self._found
        if self._trying is None:
            self._trying = asyncio.create_task(self._try())
        return await asyncio.shield(self._trying)

    async def _try(self) -> Rollouts:
        try:
            self._found = await self._connect()
            return self._found
        finally:
            self._trying = None
