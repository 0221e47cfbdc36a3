"""The feed: Temporal is asked once for all viewers, and only for what somebody looks at.

The fleet is asked for in quick rounds every second and in whole rounds beside them (``fleet_rounds``), however many
pages show it. A rollout that is shown is asked for its ``status`` once a second, by one task for all of its viewers.
What the rows on pages wait for is asked for once a second too (``waits``). Nobody looks: nothing is asked, but for one
whole round when the server starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from coalmine.dashboard.asking import EVERY, Asker, Trouble
from coalmine.dashboard.broadcast import Broadcast
from coalmine.dashboard.fleet_rounds import FleetRounds
from coalmine.dashboard.waits import Waits
from coalmine.dashboard.watch import Seen, Watch
from coalmine.rollouts import Releases
from coalmine.searching import RolloutRef, RolloutRow

WHOLE_EVERY = 10
"""Quick rounds' time between two whole rounds."""
WHOLE_REST = 4.0
"""Seconds without a whole round for each second one took: they take a fifth of the time at most."""
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


@dataclass(eq=False)
class Viewer:
    """Somebody who follows the fleet."""

    fleet: Broadcast[Fleet]
    shown: Sequence[RolloutRow] = ()
    """The rows on their page, which they say: quick rounds ask for these."""


class Feed:
    """Started and stopped with the server."""

    def __init__(self, rollouts: Releases, every: float = EVERY) -> None:
        self.fleet: Broadcast[Fleet] = Broadcast(Fleet())
        self.news: Broadcast[None] = Broadcast(None)
        """Said with every change of the fleet, or of what its rows wait for."""
        self.waits = Waits(rollouts, lambda: self.news.say(None))
        self._rollouts = rollouts
        self._every = every
        self._rounds = FleetRounds(rollouts)
        self._quick = Asker(every)
        self._whole = Asker(every * WHOLE_EVERY, WHOLE_REST)
        self._looked: Broadcast[None] = Broadcast(None)
        self._viewers: set[Viewer] = set()
        self._waiting = 0
        self._until = float("-inf")
        self._wanted = asyncio.Event()
        self._hasten = asyncio.Event()
        self._behind = True
        self._had_at = self._whole_at = float("-inf")
        self._watches: dict[RolloutRef, Watch] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin: the whole fleet once, and then nothing before somebody looks."""
        rounds = (self._keep_quick(), self._keep_whole(), self._keep_waits())
        self._tasks = [asyncio.create_task(one) for one in rounds]

    async def stop(self) -> None:
        """End every task."""
        tasks = [*self._tasks, *(watch.stop() for watch in self._watches.values())]
        self._watches.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.waits.stop()

    async def current(self) -> Fleet:
        """The list, at most some seconds old; while Temporal is silent the last one, with its trouble."""
        self._want()
        self._waiting += 1
        try:
            while (self._behind or _now() - self._had_at > STALE) and self.fleet.value.trouble is None:
                await self._looked.after(self._looked.number)
        finally:
            self._waiting -= 1
            self._until = _now() + IDLE
        return self.fleet.value

    @asynccontextmanager
    async def viewing_fleet(self) -> AsyncIterator[Viewer]:
        """The list, kept fresh while the block runs, and most of all the rows its viewer shows."""
        self._want()
        viewer = Viewer(self.fleet)
        self._viewers.add(viewer)
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)

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
        self.waits.renew(row for row in self._shown() if row.workflow_id == ref.workflow_id)

    # ------------------------------------------------------------------------------------------ rounds

    def _is_wanted(self) -> bool:
        return bool(self._viewers or self._waiting) or _now() < self._until

    def _want(self) -> None:
        """Somebody looks; when nobody did for a while, what is held is no list to show."""
        if not self._is_wanted() and _now() - self._whole_at > STALE:
            self._behind = True
            self._hasten.set()
        self._wanted.set()

    async def _until_wanted(self) -> None:
        while not self._is_wanted():
            self._wanted.clear()
            await self._wanted.wait()

    async def _keep_quick(self) -> None:
        while True:
            await self._until_wanted()
            was_silent = self._quick.trouble is not None
            answered = await self._ask(self._quick, self._ask_quick)
            if was_silent and answered:
                self._hasten.set()
            await self._quick.pause()

    async def _keep_whole(self) -> None:
        while True:
            self._hasten.clear()
            began = _now()
            if await self._ask(self._whole, self._ask_whole):
                self._behind, self._whole_at = False, began
            await self._whole.pause(self._hasten)
            await self._until_wanted()
            if self._quick.trouble is not None:
                # Nobody answers the short questions either: whoever hears the first answer says so.
                await self._hasten.wait()

    async def _keep_waits(self) -> None:
        while True:
            await self._until_wanted()
            if self._quick.trouble is None:
                self.waits.renew(self._shown())
            await asyncio.sleep(self._every)

    def _shown(self) -> list[RolloutRow]:
        return [row for viewer in self._viewers for row in viewer.shown]

    async def _ask(self, asker: Asker, question: Callable[[], Awaitable[bool]]) -> bool:
        """Whether there was an answer; what it changed is said."""
        answered = bool(await asker.ask(question, final=False))
        troubles = [one.trouble for one in (self._quick, self._whole) if one.trouble is not None]
        trouble = min(troubles, key=lambda one: one.since, default=None)
        before = self.fleet.value
        if answered:
            self._had_at = _now()
            opened, closed = self._rounds.known.rows()
            if not before.at or (before.open, before.closed, before.trouble) != (opened, closed, trouble):
                self._say(Fleet(opened, closed, datetime.now(UTC), trouble))
        elif before.trouble != trouble:
            self._say(replace(before, trouble=trouble))
        self._looked.say(None)
        return answered

    def _say(self, fleet: Fleet) -> None:
        self.fleet.say(fleet)
        self.news.say(None)

    async def _ask_quick(self) -> bool:
        await self._rounds.quick(self._shown())
        return True

    async def _ask_whole(self) -> bool:
        await self._rounds.whole()
        return True


def _now() -> float:
    return asyncio.get_running_loop().time()
