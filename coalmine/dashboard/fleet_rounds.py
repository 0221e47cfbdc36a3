"""Asking Temporal for the fleet: often for what viewers may see change, now and then for everything.

A list of thousands takes seconds of a small server. A quick round is a few short lists: the latest started, the latest
closed, what is rolling back or waits for a human, which pages show first, what is in a phase that a page is filtered
by, and the rows of somebody's page. A whole round puts everything else right; both may be under way together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from coalmine.dashboard.fleet_list import MOST_CLOSED, Answer, FleetList, latest, whole
from coalmine.records import Phase
from coalmine.rollouts import Releases
from coalmine.searching import RolloutRow

MOST_OPEN = 10_000
"""Open rollouts in the list."""
LATEST_OPEN, LATEST_CLOSED = 100, 25
"""Rows of a quick round. A fleet of fewer open ones is known whole by each."""
URGENT, MOST_URGENT = (Phase.ROLLING_BACK, Phase.HELD, Phase.GATED), 100
"""Phases that come first on pages, and the rows of each (and of those in filters) that a quick round asks for."""
MOST_SHOWN, CHUNK = 400, 100
"""Rows of viewers' pages that one quick round asks for, heard of longest ago first, and that one question does."""


class FleetRounds:
    """What is known, and how to know more."""

    def __init__(self, rollouts: Releases) -> None:
        self.known = FleetList()
        self._rollouts = rollouts

    async def quick(self, shown: Iterable[RolloutRow], phases: Iterable[str] = ()) -> None:
        """Ask for the latest rows, for those in these phases that pages are filtered by, and for those that are shown.

        Raises:
            TemporalUnavailable: the server does not answer.
        """
        began = _now()
        running, closed = await asyncio.gather(
            self._rollouts.rollouts(running=True, limit=LATEST_OPEN),
            self._rollouts.rollouts(running=False, limit=LATEST_CLOSED),
        )
        self.known = self.known.with_open(latest(began, running, LATEST_OPEN))
        self.known = self.known.with_closed(latest(began, closed, LATEST_CLOSED))
        if len(running) >= LATEST_OPEN:
            asked = _now()
            wanted = sorted({*URGENT, *phases} - {Phase.CLOSED})
            lists = (self._rollouts.rollouts(running=True, phase=phase, limit=MOST_URGENT) for phase in wanted)
            for urgent in await asyncio.gather(*lists):
                self.known = self.known.with_open(Answer(asked, urgent))
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
        asked = _now()
        closed = await self._rollouts.rollouts(running=False, limit=MOST_CLOSED)
        self.known = self.known.with_closed(whole(asked, closed))


def _now() -> float:
    return asyncio.get_running_loop().time()
