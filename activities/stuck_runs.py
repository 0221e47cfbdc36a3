"""Open rollouts whose workflow tasks keep failing, as the server reports it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from activities.rollout_runs import RolloutRuns
from coalmine.errors import HistoryUnreadable, PayloadUnreadable, TemporalUnavailable
from coalmine.ownership import LastTasks, Run
from coalmine.records import Freed, StuckRollout
from coalmine.stuck import KEPT_STUCK, stuck_rollout

READ_WITHIN = 15.0
"""Seconds of one look that reading their histories may take; those that are left over are for the next looks."""
ASK_WITHIN = 5.0
"""Seconds of one look in which it is asked what became of those that were stuck before."""
AT_ONCE = 8
"""Histories that are read at a time."""


def troubled_among(found: Sequence[Run]) -> list[Run]:
    """Those of which the server says that their tasks keep failing."""
    return [run for run in found if run.open and run.problems]


class StuckRuns:
    """Finds those that are stuck; a history is read once while its run is stuck, for then it says nothing new.

    A build that no rollout can go on with brings them all at once, and their whole histories at one look would take
    the time in which routes are read.
    """

    def __init__(
        self, runs: RolloutRuns, namespace: str, within: float = READ_WITHIN, ask_within: float = ASK_WITHIN
    ) -> None:
        self._runs = runs
        self._namespace = namespace
        self._within = within
        self._ask_within = ask_within
        self._known: dict[str, StuckRollout] = {}

    async def among(self, found: Sequence[Run], before: Collection[str] = ()) -> list[StuckRollout]:
        """Those of the runs that are stuck, as many as are remembered, with what people can do about each.

        Args:
            found: Runs of one environment, or of all.
            before: Run ids that are remembered: they come first, for of some people have yet to be told.
        """
        troubled = sorted(troubled_among(found), key=lambda run: run.run_id not in before)
        for run_id in self._known.keys() & {run.run_id for run in found} - {run.run_id for run in troubled}:
            del self._known[run_id]
        gate = asyncio.Semaphore(AT_ONCE)
        ends = asyncio.get_running_loop().time() + self._within
        return list(await asyncio.gather(*(self._one(run, gate, ends) for run in troubled[:KEPT_STUCK])))

    async def freed(self, before: Mapping[str, str], still: Collection[str]) -> dict[str, Freed]:
        """What became of those that were stuck before, as the server has each now, whether it lists them or not.

        Args:
            before: Workflow id by run id.
            still: Run ids that are listed as stuck.

        Returns:
            By run id; without those that are stuck still, and those of which the server does not say it now.
        """
        gate = asyncio.Semaphore(AT_ONCE)
        ends = asyncio.get_running_loop().time() + self._ask_within

        async def ask(workflow_id: str, run_id: str) -> Freed | None:
            try:
                async with asyncio.timeout_at(ends), gate:
                    run = await self._runs.described(workflow_id, run_id)
            except (TimeoutError, TemporalUnavailable):
                return None
            if run is not None and run.open:
                return None if run.problems else "goes_on"
            return "goes_on" if run is not None and run.ended == "continued_as_new" else "closed"

        asked = {run_id: workflow_id for run_id, workflow_id in before.items() if run_id not in still}
        answers = await asyncio.gather(*(ask(workflow_id, run_id) for run_id, workflow_id in asked.items()))
        return {run_id: answer for run_id, answer in zip(asked, answers, strict=True) if answer is not None}

    async def _one(self, run: Run, gate: asyncio.Semaphore, ends: float) -> StuckRollout:
        """With what its history says, or without where there is no time left for it."""
        if run.run_id in self._known:
            return self._known[run.run_id]
        try:
            async with asyncio.timeout_at(ends), gate:
                return await self._read(run)
        except (TimeoutError, TemporalUnavailable):
            # A server that is asked too much must not make the look forget what it has found of the routes.
            return stuck_rollout(run, None, LastTasks(), self._namespace)

    async def _read(self, run: Run) -> StuckRollout:
        last = await self._runs.last_tasks(run)
        try:
            facts = await self._runs.facts(run)
        except (HistoryUnreadable, PayloadUnreadable):
            # The key may be at hand at the next look.
            return stuck_rollout(run, None, last, self._namespace)
        found = stuck_rollout(run, facts, last, self._namespace)
        if facts is not None:
            self._known[run.run_id] = found
        return found
