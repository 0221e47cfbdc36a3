"""What runs of a rollout left on its route, for the run that a reset made of one of them."""

from __future__ import annotations

from temporalio import activity
from temporalio.client import Client

from activities.beating import beating
from activities.failures import translate_errors
from activities.rollout_runs import RolloutRuns
from coalmine.errors import HistoryUnreadable, PayloadUnreadable
from coalmine.ownership import Run, rest_of
from coalmine.records import RECALL_ROUTE, Phase, Recalled, RecallRequest, Watched

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
                before = await self._before(request.workflow_id, request.run_id)
                if not before:
                    return Recalled(run_id=request.run_id)
                recalled = await self._recalled(request.workflow_id, request.run_id, before)
                named = {"run_id": request.run_id, "rollout_id": await self._rollout_id(before)}
                return recalled.model_copy(update=named)

    async def _recalled(self, workflow_id: str, run_id: str, before: list[Run]) -> Recalled:
        own = await self._rollout_id(before)
        ours = {run_id, *(run.run_id for run in before)}
        listed = await self._runs.of_workflow(workflow_id)
        # One that is open is the run itself, where it answers for the one before it that had asked.
        first = min(run.started_at for run in before)
        asked = [await self._now(run) for run in listed if run.run_id not in ours and run.started_at >= first]
        others = [run for run in asked if not run.open]
        # Made by another reset, or by continue-as-new, of one of those before: the same rollout, and never a later one.
        siblings: list[Run] = []
        for other in others:
            rest = await self._rest(other)
            if rest is None:
                continue
            if own and rest.rollout_id == own:
                siblings.append(other)
            elif any(_since(run, other) for run in before):
                # The route is as a later rollout left it: no business of a reset of an old one.
                taken = rest if rest.ended == "terminated" and await self._runs.was_ended_by_reset(other) else None
                return Recalled(later=rest.rollout_id or f"run {other.run_id}", taken=taken)
        for run in sorted([*before, *siblings], key=lambda run: run.started_at, reverse=True):
            facts = await self._runs.facts(run)
            if facts is None:
                continue
            in_window = run.phase == Phase.WINDOW and await self._runs.was_reset_in_window(run)
            rest = rest_of(run, facts, in_window=in_window)
            if rest is not None:
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

    async def _now(self, run: Run) -> Run:
        """As it is now: the list is a moment behind, and has one as open that the reset has just ended."""
        return (await self._runs.described(run.workflow_id, run.run_id) or run) if run.open else run

    async def _rollout_id(self, before: list[Run]) -> str:
        """The id of the latest of them that had its number; what closed without one is whole by itself."""
        for run in before:
            try:
                facts = await self._runs.facts(run)
            except (HistoryUnreadable, PayloadUnreadable):
                continue
            if facts is not None and facts.rollout_id.rpartition("/")[2].isdecimal():
                return facts.rollout_id
        return ""

    async def _rest(self, run: Run) -> Watched | None:
        facts = await self._runs.facts(run)
        return rest_of(run, facts) if facts is not None else None


def _since(run: Run, other: Run) -> bool:
    """Whether one began after the other; who follows in line starts at the very moment at which it closes."""
    return run.closed_at is not None and other.started_at >= run.closed_at
