"""Keeping the workflow's own history beside the ledger, so that the trail outlives the retention of its namespace.

A run that continued as new is archived by the run that follows it, in the background and at once: the history is whole
then, and no look, gate or rollback waits for it. The last run archives itself when the rollout is closed and traffic is
at rest; what comes after (that it was archived, the last entries, the result) is not in its copy.
"""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.records import ARCHIVE_HISTORY, ArchiveRequest
    from coalmine.rollout import RolloutState

from workflows.background import Rank, when
from workflows.calls import ARCHIVE, ARCHIVE_AT_END, Budget, call
from workflows.interruption import failure_reason
from workflows.journal import Journal

PATCH = "archive"
"""Histories recorded before histories were archived have no such step."""


class Archiving:
    """Archives the runs of one rollout."""

    def __init__(self, state: RolloutState, journal: Journal) -> None:
        self._state = state
        self._journal = journal
        self._task: asyncio.Task[None] | None = None
        self._archives = False

    def start(self) -> None:
        """Begin with the runs before this one."""
        # Asked in a run's first task. Where it was asked in the last, the SDK could not always replay the run for a
        # query that came at that moment.
        self._archives = workflow.patched(PATCH)
        if self._state.to_archive and self._archives:
            self._task = asyncio.create_task(self._keep())

    def stop(self) -> None:
        """End; what was not finished stays in the state."""
        if self._task is not None:
            self._task.cancel()

    async def finish(self) -> None:
        """Archive what is left, and this run; a failure is told, and is no reason to stay open."""
        if not self._archives:
            return
        self.stop()
        for run_id in [*self._state.to_archive, self._state.run_id]:
            await self._archive(run_id, ARCHIVE_AT_END)

    async def _keep(self) -> None:
        while self._state.to_archive:
            await when(lambda: bool(self._state.to_archive), Rank.ARCHIVE)
            await self._archive(self._state.to_archive[0], ARCHIVE)

    async def _archive(self, run_id: str, budget: Budget) -> None:
        state, spec = self._state, self._state.spec
        request = ArchiveRequest(
            context=state.context(),
            ledger=spec.ledger,
            service=spec.service,
            environment=spec.environment,
            region=spec.region,
            rollout_id=state.rollout_id,
            workflow_id=state.workflow_id,
            run_id=run_id,
        )
        try:
            kept = await call(ARCHIVE_HISTORY, request, budget, f"archive the history of run {run_id[:8]}")
        except ActivityError as error:
            reason = failure_reason(error)
            self._journal.note("archive_failed", reason, run_id=run_id)
            self._journal.tell(
                "A history was not archived",
                f"{state.rollout_id}, run {run_id}: {reason}; Temporal holds it until its retention ends.",
                "warning",
                key=f"archive-{run_id}",
            )
        else:
            text = f"the history of run {run_id[:8]}: {kept.events} events{'' if kept.whole else ' so far'}"
            self._journal.note("archived", text, **kept.model_dump(mode="json"))
        state.to_archive = [waiting for waiting in state.to_archive if waiting != run_id]
