"""Open rollouts whose workflow tasks keep failing, as the server reports it."""

from __future__ import annotations

from collections.abc import Sequence

from activities.rollout_runs import RolloutRuns
from coalmine.errors import HistoryUnreadable, PayloadUnreadable
from coalmine.ownership import Run
from coalmine.records import StuckRollout
from coalmine.stuck import KEPT_STUCK, stuck_rollout


class StuckRuns:
    """Finds those that are stuck; a history is read once while its run is stuck, for then it says nothing new.

    A build that no rollout can go on with brings them all at once, and their whole histories at every look would take
    the time in which routes are read.
    """

    def __init__(self, runs: RolloutRuns, namespace: str) -> None:
        self._runs = runs
        self._namespace = namespace
        self._known: dict[str, StuckRollout] = {}

    async def among(self, found: Sequence[Run]) -> list[StuckRollout]:
        """Those of the runs that are stuck, with what people can do about each.

        Raises:
            TemporalUnavailable: the server does not answer.
        """
        troubled = [run for run in found if run.open and run.problems][:KEPT_STUCK]
        for run_id in {run.run_id for run in found} - {run.run_id for run in troubled}:
            self._known.pop(run_id, None)
        return [self._known.get(run.run_id) or await self._stuck(run) for run in troubled]

    async def _stuck(self, run: Run) -> StuckRollout:
        last = await self._runs.last_tasks(run)
        try:
            facts = await self._runs.facts(run)
        except (HistoryUnreadable, PayloadUnreadable):
            # The key may be at hand at the next look.
            return stuck_rollout(run, None, last, self._namespace)
        self._known[run.run_id] = stuck_rollout(run, facts, last, self._namespace)
        return self._known[run.run_id]
