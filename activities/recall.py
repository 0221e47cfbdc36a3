"""What runs of a rollout left on its route, for the run that a reset made of one of them."""

from __future__ import annotations

from temporalio import activity
from temporalio.client import Client

from activities.beating import beating
from activities.failures import translate_errors
from activities.rollout_runs import RolloutRuns
from coalmine.ownership import Run, rest_of
from coalmine.records import RECALL_ROUTE, Recalled, RecallRequest, Watched

MOST_RESETS = 20
"""Resets of resets that are followed back."""


class RecallActivities:
    """Reads the histories of the runs before."""

    def __init__(self, client: Client) -> None:
        self._runs = RolloutRuns(client)

    @activity.defn(name=RECALL_ROUTE.name)
    async def recall_route(self, request: RecallRequest) -> Recalled:
        """What the latest run that wrote the route should have left there, when a reset made this run of it.

        Raises:
            ApplicationError: ``TemporalUnavailable``, to be retried; ``HistoryUnreadable`` and ``PayloadUnreadable``.
        """
        with translate_errors():
            async with beating():
                return await self._recalled(request.workflow_id, request.run_id)

    async def _recalled(self, workflow_id: str, run_id: str) -> Recalled:
        before = await self._before(workflow_id, run_id)
        if not before:
            return Recalled()
        ours = {run_id, *(run.run_id for run in before)}
        others = [run for run in await self._runs.of_workflow(workflow_id) if run.run_id not in ours]
        for run in before:
            for other in others:
                # Who follows in line starts at the very moment at which the one before it closes.
                since = run.closed_at is not None and other.started_at >= run.closed_at
                if since and await self._rest(other) is not None:
                    # The route is as a later rollout left it: no business of a reset of an old one.
                    return Recalled()
            facts = await self._runs.facts(run)
            rest = rest_of(run, facts) if facts is not None else None
            if facts is not None and rest is not None:
                return Recalled(left=rest, before=facts.snapshot)
        return Recalled()

    async def _before(self, workflow_id: str, run_id: str) -> list[Run]:
        """The run that was reset to make this one, the one that was reset to make that, and so on."""
        found: list[Run] = []
        while len(found) < MOST_RESETS:
            base = await self._runs.reset_from(workflow_id, found[-1].run_id if found else run_id)
            run = await self._runs.described(workflow_id, base) if base is not None else None
            if run is None:
                break
            found.append(run)
        return found

    async def _rest(self, run: Run) -> Watched | None:
        facts = await self._runs.facts(run)
        return rest_of(run, facts) if facts is not None else None
