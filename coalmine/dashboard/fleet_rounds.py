"""Asking Temporal for the fleet: often for what viewers may see change, now and then for everything.

A list of thousands takes seconds of a small server. A quick round is a few short lists: the latest started, the latest
closed, whatever stands otherwise than is known (so that every order, filter and search is right, also for rows that no
page shows yet), and the rows of somebody's page. A whole round puts everything else right; both may be under way
together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from coalmine.dashboard.fleet_list import MOST_CLOSED, Answer, FleetList, latest, whole
from coalmine.errors import CoalmineError
from coalmine.rollouts import Releases
from coalmine.searching import RolloutRow

MOST_OPEN = 10_000
"""Open rollouts in the list."""
LATEST_OPEN, LATEST_CLOSED = 100, 25
"""Rows of a quick round. A fleet of fewer open ones is known whole by each."""
MOST_CHANGED = 500
"""Rows that stand otherwise, of each thousand known ones: of a change of nearly all, the next round brings more."""
CHANGED_WITHIN = 2.0
"""Seconds that the question for these may take: the rest of the round is not held up for longer."""
MOST_SHOWN, CHUNK = 400, 100
"""Rows of viewers' pages that one quick round asks for, heard of longest ago first, and that one question does."""
_log = logging.getLogger("coalmine.dashboard")


class FleetRounds:
    """What is known, and how to know more."""

    def __init__(self, rollouts: Releases) -> None:
        self.known = FleetList()
        self._rollouts = rollouts
        self._all_known = False
        self._refused = False

    async def quick(self, shown: Iterable[RolloutRow]) -> None:
        """Ask for the latest rows, for those that stand otherwise than is known, and for those that are shown.

        Raises:
            TemporalUnavailable: the server does not answer.
        """
        began = _now()
        running, (closed, most) = await asyncio.gather(
            self._rollouts.rollouts(running=True, limit=LATEST_OPEN), self._latest_closed()
        )
        self.known = self.known.with_open(latest(began, running, LATEST_OPEN))
        self.known = self.known.with_closed(latest(began, closed, most))
        # At the same time: a whole list that is under way may hold up each of them.
        unshown = self._ask_changed() if len(running) >= LATEST_OPEN and self._all_known else _nothing()
        await asyncio.gather(unshown, self._ask_shown(shown, began))

    async def _latest_closed(self) -> tuple[list[RolloutRow], int]:
        """The latest closed, back to one that is known: after a rollback of many, more than usual; and the limit."""
        known, most = {row.run_id for row in self.known.rows()[1]}, LATEST_CLOSED
        while True:
            closed = await self._rollouts.rollouts(running=False, limit=most)
            if len(closed) < most or most >= MOST_CLOSED or not self._all_known or closed[-1].run_id in known:
                return closed, most
            most = min(4 * most, MOST_CLOSED)

    async def _ask_changed(self) -> None:
        asked, known = _now(), self.known.rows()[0]
        try:
            async with asyncio.timeout(CHANGED_WITHIN):
                changed = await self._rollouts.unlike(known, limit=MOST_CHANGED)
        except (CoalmineError, TimeoutError) as refused:
            # A server that refuses the long question answers the short ones: rows that are shown go on changing, and
            # whole rounds bring the others. One that is silent answers none, and they say so.
            if not self._refused:
                why = str(refused) or f"no answer within {CHANGED_WITHIN:g} s"
                _log.warning("rows on no page are up to date after whole lists only: %s", why)
            self._refused = True
            return
        self._refused = False
        if len(known) >= MOST_OPEN:
            # What is older than the list is none of it.
            listed = {row.workflow_id for row in known}
            changed = [row for row in changed if row.workflow_id in listed]
        self.known = self.known.with_open(Answer(asked, changed))

    async def _ask_shown(self, shown: Iterable[RolloutRow], began: float) -> None:
        heard = self.known.open.asked
        # An id that cannot stand in a question, which no rollout of ours has, is left to whole rounds.
        ids = {row.workflow_id for row in shown if row.open and not set(row.workflow_id) & set("'\\")}
        due = sorted((one for one in ids if heard(one) < began), key=lambda one: (heard(one), one))[:MOST_SHOWN]
        for first in range(0, len(due), CHUNK):
            chunk, asked = due[first : first + CHUNK], _now()
            rows = await self._rollouts.rollouts(running=True, workflow_ids=chunk, limit=len(chunk))
            self.known = self.known.with_open(Answer(asked, rows, about=frozenset(chunk)))

    async def whole(self) -> None:
        """Ask for every open one and for the latest closed ones.

        Raises:
            TemporalUnavailable: the server does not answer.
        """
        asked = _now()
        running = await self._rollouts.rollouts(running=True, limit=MOST_OPEN)
        self.known = self.known.with_open(whole(asked, running))
        self._all_known = True
        asked = _now()
        closed = await self._rollouts.rollouts(running=False, limit=MOST_CLOSED)
        self.known = self.known.with_closed(whole(asked, closed))


async def _nothing() -> None:
    """A fleet of few is known whole by the latest; of one whose whole list is to come, everything is unknown."""


def _now() -> float:
    return asyncio.get_running_loop().time()
