"""The fence of data planes that have no token of their own: it is kept beside them, in rows that are compared and set.

A write raises the fence first, so that older ones are kept out even when its answer is lost; then it holds the row
for as long as it changes the plane. Who comes meanwhile raises the fence at once, and waits: for a holder that died,
one lease. A holder that sleeps longer than that and wakes up between its last look and its write cannot be shut out:
such a router is ``advisory``, and the workflow reads the route again after a lease (docs/routers.md).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol, TypeVar

import structlog

from coalmine.errors import RouterError, RouteUnconfirmed, StaleGeneration
from coalmine.records import Weights

T = TypeVar("T")

LEASE = 5.0
"""Seconds after which a holder that has not let go counts as dead; twice what a write may take."""
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25
_log = structlog.get_logger("coalmine.router")


@dataclass(frozen=True)
class FenceRow:
    """What is kept of a route. A route nobody has written is at generation 0."""

    revision: int = 0
    """Goes up by one with every change: what is compared."""
    generation: int = 0
    weights: Weights = field(default_factory=dict)
    """Those of the generation, percent by backend, without zeros."""
    holders: tuple[str, ...] = ()
    """Who is changing the plane now: several where a write is repeated before the first has ended."""
    holding: int = 0
    """The generation they write."""

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> FenceRow:
        """The row of a text.

        Raises:
            ValueError: it is not one.
        """
        try:
            row = cls(**json.loads(text))
            return replace(row, holders=tuple(row.holders))
        except (TypeError, RecursionError) as error:
            raise ValueError(f"is not a fence ({error})") from error


class FenceRows(Protocol):
    """Where rows are kept: a folder, a table. Tests: ``coalmine.testing.fence_contract``."""

    async def get(self, key: str) -> FenceRow:
        """The row of a route, read so that every ``put`` before it is seen; ``FenceRow()`` when there is none.

        Raises:
            RouterUnreachable: it could not be read.
            RouteRejected: what is there is no row.
        """
        ...

    async def put(self, key: str, row: FenceRow) -> bool:
        """Write the row if the one there has the revision before it; False when it has another.

        Raises:
            RouterUnreachable: it is not known whether it was written.
        """
        ...


class Held:
    """The right to change one route of the plane, until the block is left."""

    def __init__(self, rows: FenceRows, key: str, generation: int, token: str, until: float) -> None:
        self._rows = rows
        self._key = key
        self._generation = generation
        self._token = token
        self._until = until

    async def write(self, change: Callable[[], Awaitable[T]]) -> T:
        """Look at the fence once more, then change the plane. Cancelled in the middle, it ends when the change has.

        Raises:
            StaleGeneration: a newer generation was asked for meanwhile.
            RouteUnconfirmed: the lease is over.
        """
        row = await self._rows.get(self._key)
        if row.generation > self._generation:
            raise stale(self._key, row, self._generation)
        if self._token not in row.holders or time.monotonic() > self._until:
            raise RouteUnconfirmed(f"{self._key}: held its fence for too long: nothing more is written, try again")
        return await _to_the_end(change())

    async def record(self, weights: Weights) -> None:
        """Keep under this generation what is there instead: after a refusal, the last good weights."""
        await self._change(lambda row: replace(row, weights=_live(weights)) if self._is_newest(row) else row)

    async def let_go(self) -> None:
        """Let the next one write. Where it cannot be said, the next one waits for a lease."""
        try:
            await self._change(
                lambda row: replace(row, holders=tuple(one for one in row.holders if one != self._token))
            )
        except RouterError as error:
            _log.warning("fence not let go", route=self._key, why=str(error))

    async def _change(self, changed: Callable[[FenceRow], FenceRow]) -> None:
        while True:
            row = await self._rows.get(self._key)
            new = changed(row)
            if self._token not in row.holders or new == row:
                return
            if await self._rows.put(self._key, replace(new, revision=row.revision + 1)):
                return

    def _is_newest(self, row: FenceRow) -> bool:
        return row.generation == self._generation


class Fences:
    """``async with fences.raised(key, generation, weights) as held: await held.write(...)``; one for all routes."""

    def __init__(self, rows: FenceRows, lease: float = LEASE) -> None:
        """``lease`` is in seconds."""
        self._rows = rows
        self._lease = lease
        self._seen: dict[str, tuple[tuple[str, ...], float]] = {}

    async def read(self, key: str) -> FenceRow:
        """The fence of a route: its generation, and the weights that belong to it.

        Raises:
            RouterUnreachable: it could not be read.
            RouteRejected: what is there is no row.
        """
        return await self._rows.get(key)

    @asynccontextmanager
    async def raised(self, key: str, generation: int, weights: Weights) -> AsyncIterator[Held]:
        """Raise the fence to ``generation``, wait for whoever writes an older one, and hold the route.

        The same generation with the same weights is the same write, and waits for nobody: it may be a repeat.

        Raises:
            StaleGeneration: a newer generation is there, or this one with other weights.
            RouterUnreachable: the rows could not be read or written.
        """
        token = secrets.token_hex(8)
        held = Held(self._rows, key, generation, token, time.monotonic() + self._lease / 2)
        try:
            await self._take(key, generation, _live(weights), token)
            held = Held(self._rows, key, generation, token, time.monotonic() + self._lease / 2)
            yield held
        finally:
            await _to_the_end(held.let_go())

    async def _take(self, key: str, generation: int, weights: Weights, token: str) -> None:
        pause = _FIRST_PAUSE
        while True:
            row = await self._rows.get(key)
            if row.generation > generation or (row.generation == generation and _live(row.weights) != weights):
                raise stale(key, row, generation)
            if token in row.holders:
                return
            repeats = row.holding == generation
            free = not row.holders or repeats or self._is_dead(key, row.holders)
            raised = replace(row, revision=row.revision + 1, generation=generation, weights=weights)
            if free:
                raised = replace(raised, holders=(*(row.holders if repeats else ()), token), holding=generation)
            if (free or row.generation < generation) and not await _to_the_end(self._rows.put(key, raised)):
                continue
            if free:
                self._seen.pop(key, None)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _is_dead(self, key: str, holders: tuple[str, ...]) -> bool:
        """Whether we have seen these for a lease. Only our own clock is asked: hosts do not agree on the time."""
        known, since = self._seen.get(key, ((), 0.0))
        if known != holders:
            self._seen[key] = (holders, time.monotonic())
            return False
        return time.monotonic() - since > self._lease


def stale(key: str, row: FenceRow, generation: int) -> StaleGeneration:
    """What to say to an older write."""
    if row.generation == generation:
        return StaleGeneration(f"{key}: carries generation {generation} with other weights")
    return StaleGeneration(f"{key}: carries generation {row.generation}, newer than {generation}")


def fits(row: FenceRow, weights: Weights) -> bool:
    """Whether the plane shows what the fence says it was given."""
    return _live(row.weights) == _live(weights)


def _live(weights: Weights) -> Weights:
    return {backend: weight for backend, weight in weights.items() if weight}


async def _to_the_end(work: Awaitable[T]) -> T:
    """Its result; cancelled, it ends only when the work has: who comes next must not write before that has arrived."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            # Nobody hears of it any more, and asyncio would complain.
            task.exception()
        raise
