"""A write that is done and cannot be confirmed for as long as somebody needs: the route's last proxy is frozen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from temporalio.service import RPCError

from activities.routers.locked_files import locked
from coalmine.errors import RouterUnreachable
from coalmine.records import SHIFT
from tests.faults.witness import attempts, stopped

if TYPE_CHECKING:
    from tests.faults.act import Act

_HEARD_WITHIN = 90.0
"""Seconds; a write is tried for a minute, after which the rollout has given it up by itself."""


@asynccontextmanager
async def unconfirmed(act: Act) -> AsyncIterator[None]:
    """The block begins when the rollout's first write is at one proxy and the last is frozen.

    After the block the last proxy goes on once the rollout has given the write up: on a busy machine what was said in
    the block is heard late, and a write that was confirmed before would be none of those this is for.
    """
    async with _frozen_before_the_write(act):
        while not act.shows_canary and not await act.is_closed():
            await asyncio.sleep(0.02)
        yield
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEARD_WITHIN):
                await _until_given_up(act)


@asynccontextmanager
async def frozen_proxy(act: Act) -> AsyncIterator[None]:
    """SIGSTOP of the route's last proxy before the block, SIGCONT after it; whoever else wants it waits."""
    number = len(act.envoys) - 1
    async with act.last_proxy:
        pid = act.envoys[number].pid
        assert pid is not None
        act.deaf.add(number)
        with stopped(pid):
            yield
        act.deaf.discard(number)


@asynccontextmanager
async def _frozen_before_the_write(act: Act) -> AsyncIterator[None]:
    """Nothing is written until the proxy is frozen; before it is ordered, all have to answer to be admitted."""
    with ExitStack() as unlock:
        await _lock(act, unlock)
        while await attempts(act.handle, SHIFT.name) == 0 and not await act.is_closed():
            await asyncio.sleep(0.02)
        async with frozen_proxy(act):
            unlock.close()
            yield


async def _lock(act: Act, unlock: ExitStack) -> None:
    """Keep everybody else from writing the route: a worker that was stopped may have the lock for a while."""
    while True:
        with suppress(RouterUnreachable):
            unlock.enter_context(locked([envoy.route_file.resolve() for envoy in act.envoys]))
            return
        await asyncio.sleep(0.1)


async def _until_given_up(act: Act) -> None:
    while True:
        with suppress(RPCError):  # The server may be away.
            if await _given_up(act):
                return
        await asyncio.sleep(0.05)


async def _given_up(act: Act) -> bool:
    """Whether the rollout waits for a write no longer, as its history says: right after it, it goes back, or ends."""
    writes: set[int] = set()
    async for event in act.handle.fetch_history_events():
        if event.activity_task_scheduled_event_attributes.activity_type.name == SHIFT.name:
            writes.add(event.event_id)
        dropped = event.activity_task_cancel_requested_event_attributes.scheduled_event_id in writes
        if dropped or len(writes) > 1:
            return True
    return await act.is_closed()
