"""The feed: Temporal is asked once for all viewers, and only for what somebody looks at.

The fleet is one list by search attributes a second, however many pages show it. A rollout that is shown is asked for
its ``status`` once a second, by one task for all of its viewers. Nobody looks: nothing is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from coalmine.dashboard.asking import EVERY, Asker, Trouble
from coalmine.dashboard.broadcast import Broadcast
from coalmine.dashboard.rollouts import Rollouts
from coalmine.dashboard.waits import Waits
from coalmine.dashboard.watch import Seen, Watch
from coalmine.searching import RolloutRef, RolloutRow

MOST_OPEN, MOST_CLOSED = 10_000, 500
"""Rollouts in the list: open ones, and the latest closed ones."""
CLOSED_EVERY = 5.0
"""Seconds between two looks at those that are closed, unless an open one is gone."""
STALE = 5.0
"""Seconds after which a list is asked for anew before it is shown; a younger one is, and the stream brings the next."""
IDLE = 10.0
"""Seconds the list is kept fresh after the last request."""


@dataclass(frozen=True)
class Fleet:
    """Every rollout of the namespace as of a moment."""

    open: tuple[RolloutRow, ...] = ()
    closed: tuple[RolloutRow, ...] = ()
    at: datetime | None = None
    trouble: Trouble | None = None


@dataclass
class _Wanted:
    viewers: int = 0
    until: float = 0.0
    asked: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """Started and stopped with the server."""

    def __init__(self, rollouts: Rollouts, every: float = EVERY) -> None:
        self.fleet: Broadcast[Fleet] = Broadcast(Fleet())
        self.waits = Waits(rollouts)
        self._rollouts = rollouts
        self._every = every
        self._asker = Asker(every)
        self._looked: Broadcast[None] = Broadcast(None)
        self._wanted = _Wanted()
        self._watches: dict[RolloutRef, Watch] = {}
        self._task: asyncio.Task[None] | None = None
        self._had_at = self._closed_at = float("-inf")

    def start(self) -> None:
        """Begin; nothing is asked before somebody looks."""
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End every task."""
        tasks = [task for task in (self._task, *(watch.stop() for watch in self._watches.values())) if task]
        self._watches.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def current(self) -> Fleet:
        """The list, at most some seconds old; while Temporal is silent the last one, with its trouble."""
        now = asyncio.get_running_loop().time()
        self._wanted.until = now + IDLE
        self._wanted.asked.set()
        if now - self._had_at > STALE and self.fleet.value.trouble is None:
            await self._looked.after(self._looked.number)
        return self.fleet.value

    @asynccontextmanager
    async def viewing_fleet(self) -> AsyncIterator[Broadcast[Fleet]]:
        """The list, kept fresh while the block runs."""
        self._wanted.viewers += 1
        self._wanted.asked.set()
        try:
            yield self.fleet
        finally:
            self._wanted.viewers -= 1

    @asynccontextmanager
    async def viewing(self, ref: RolloutRef) -> AsyncIterator[Broadcast[Seen]]:
        """One rollout, kept fresh while the block runs; the last viewer to leave ends its task."""
        watch = self._watches.get(ref)
        if watch is None:
            watch = self._watches[ref] = Watch(self._rollouts, ref, self._every)
        watch.viewers += 1
        try:
            yield watch.seen
        finally:
            watch.viewers -= 1
            if not watch.viewers and self._watches.pop(ref, None) is not None:
                watch.stop()

    def hurry(self, ref: RolloutRef) -> None:
        """Somebody said something to it: ask at once."""
        for watched, watch in self._watches.items():
            if watched.workflow_id == ref.workflow_id:
                watch.hurry()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._wanted.viewers and loop.time() >= self._wanted.until:
                self._wanted.asked.clear()
                await self._wanted.asked.wait()
                continue
            await self._look()
            self._looked.say(None)
            await self._asker.pause()

    async def _look(self) -> None:
        before = self.fleet.value
        found = await self._asker.ask(self._list)
        if found is None:
            if before.trouble != self._asker.trouble:
                self.fleet.say(Fleet(before.open, before.closed, before.at, self._asker.trouble))
            return
        self._had_at = asyncio.get_running_loop().time()
        if self._differs(before, found):
            self.fleet.say(found)

    @staticmethod
    def _differs(before: Fleet, found: Fleet) -> bool:
        return (before.open, before.closed, before.trouble) != (
            found.open,
            found.closed,
            found.trouble,
        ) or not before.at

    async def _list(self) -> Fleet:
        now = asyncio.get_running_loop().time()
        before = self.fleet.value
        rows = tuple(await self._rollouts.rollouts(running=True, limit=MOST_OPEN))
        gone = {row.run_id for row in before.open} - {row.run_id for row in rows}
        closed = before.closed
        if gone or now - self._closed_at > CLOSED_EVERY:
            closed = tuple(await self._rollouts.rollouts(running=False, limit=MOST_CLOSED))
            self._closed_at = now
        return Fleet(rows, closed, datetime.now(UTC))
