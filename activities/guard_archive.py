"""The activity that keeps the histories of rollouts that ended without being able to do so themselves.

A rollout archives its own history when it closes (``workflows.archiving``). One that was terminated or timed out does
not, and when Temporal's retention is over its last decisions would be gone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.archive import ArchiveActivities
from activities.beating import beating
from activities.failures import translate_errors
from activities.ledger import LedgerActivities
from activities.ledgers.base import LedgerStore
from activities.ledgers.names import book_named
from activities.ledgers.registry import open_ledger
from activities.rollout_runs import RolloutRuns
from coalmine.errors import CoalmineError, HistoryUnreadable, PayloadUnreadable
from coalmine.ownership import Run, RunFacts
from coalmine.records import (
    ARCHIVE_CLOSED,
    ArchiveClosedRequest,
    ArchivedClosed,
    ArchiveRequest,
    LedgerEntry,
    LedgerWrite,
    rollout_id,
)
from coalmine.spec.ledger import Ledger

DEAD = frozenset({"terminated", "timed_out", "canceled", "failed"})
"""How runs end that may not have archived themselves."""
OVERLAP = timedelta(minutes=10)
"""How much earlier than asked runs are looked at again: visibility tells of some later than of others."""
MOST_AT_ONCE = 20
"""Runs that are archived by one call; the next look goes on."""


class GuardArchiveActivities:
    """Archives what dead rollouts left."""

    def __init__(self, client: Client, ledgers: Callable[[Ledger], LedgerStore] = open_ledger) -> None:
        self._runs = RolloutRuns(client)
        self._archive = ArchiveActivities(client, ledgers)
        self._ledger = LedgerActivities(ledgers)
        self._ledgers = ledgers
        self._settled: set[str] = set()

    @activity.defn(name=ARCHIVE_CLOSED.name)
    async def archive_closed(self, request: ArchiveClosedRequest) -> ArchivedClosed:
        """Archive every dead run of an environment whose chain does not name its history yet, the oldest first.

        Doing it again is doing it once: the chain is asked first, and the entry's key is made of what does not change.

        Raises:
            ApplicationError: ``TemporalUnavailable``, to be retried.
        """
        answer = ArchivedClosed(until=request.since)
        with translate_errors():
            async with beating():
                listed, _ = await self._runs.listed(request.environment)
                dead = [run for run in listed if run.ended in DEAD and run.closed_at is not None]
                for run in sorted(dead, key=lambda run: str(run.closed_at)):
                    if request.since is not None and run.closed_at and run.closed_at < request.since - OVERLAP:
                        continue
                    if run.run_id not in self._settled:
                        if len(answer.archived) >= MOST_AT_ONCE:
                            break
                        await self._one(run, answer)
                    if not answer.failed:
                        # What failed is where the next call begins.
                        answer.until = run.closed_at
        return answer

    async def _one(self, run: Run, answer: ArchivedClosed) -> None:
        try:
            facts = await self._runs.facts(run)
        except (PayloadUnreadable, HistoryUnreadable) as error:
            answer.failed.append(f"run {run.run_id} of {run.workflow_id}: {error}")
            return
        if facts is None:
            self._settled.add(run.run_id)
            return
        try:
            for run_id in [*facts.to_archive, run.run_id]:
                if await self._keep(run, run_id, facts):
                    answer.archived.append(run_id)
        except (CoalmineError, ApplicationError) as error:
            answer.failed.append(f"run {run.run_id} of {run.workflow_id}: {error}")
            return
        self._settled.add(run.run_id)

    async def _keep(self, run: Run, run_id: str, facts: RunFacts) -> bool:
        """Archive one run and write it into the rollout's chain.

        Returns:
            False where the chain names it already, or Temporal has it no longer.
        """
        spec = facts.spec
        # As a rollout that never got a number calls itself when it closes.
        named = facts.rollout_id or rollout_id(
            spec.environment, spec.service, spec.region, spec.arms.canary.version, run.run_id
        )
        book = book_named(spec.environment, spec.service, spec.region)
        entries = await self._ledgers(spec.ledger).rollout(book, named)
        if any(entry.kind == "archived" and entry.data.get("run_id") == run_id for entry in entries):
            return False
        place = {
            "ledger": spec.ledger,
            "service": spec.service,
            "environment": spec.environment,
            "region": spec.region,
        }
        asked = ArchiveRequest.model_validate(
            {**place, "rollout_id": named, "workflow_id": run.workflow_id, "run_id": run_id}
        )
        try:
            kept = await self._archive.archive_history(asked)
        except ApplicationError as error:
            if error.type != "HistoryGone":
                raise
            return False
        assert run.closed_at is not None
        entry = LedgerEntry(
            kind="archived",
            rollout_id=named,
            sequence=max((entry.sequence for entry in entries), default=0) + 1,
            at=run.closed_at,
            reason=f"the history of run {run_id[:8]}: {kept.events} events; kept by the guard, for the workflow was "
            f"{run.ended.replace('_', ' ')}",
            by="guard",
            data=kept.model_dump(mode="json"),
        )
        await self._ledger.write_ledger(LedgerWrite.model_validate({**place, "entries": [entry]}))
        return True
