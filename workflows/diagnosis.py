"""Finding out what points to the cause, beside the rollout: nothing waits for it while traffic is not yet back.

A turn notes what is to be diagnosed; a loop of its own does it, after a rollback only once the route reads back right.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine import console
    from coalmine.decisions import suspects
    from coalmine.records import DIAGNOSE, Diagnosis, DiagnosisRequest, Window
    from coalmine.rollout import PendingDiagnosis, RolloutState

from workflows.background import Rank, when
from workflows.calls import call, diagnosing
from workflows.interruption import failure_reason
from workflows.journal import Journal

PATCH = "diagnosis"
"""Histories recorded before rollouts were diagnosed have no such step."""
GRACE = timedelta(seconds=5)
"""A closing rollout waits so much longer than a diagnosis may take, then closes without it."""


def note_what_to_diagnose(state: RolloutState, decision: str, reason: str) -> None:
    """Remember what a turn decided, before it changes the state; nothing when nothing was looked at yet."""
    if not state.looks or not state.collected_until or not workflow.patched(PATCH):
        return
    end = max(state.collected_until.values())
    start = end - state.spec.diagnose.window
    began = state.bake_ends - state.spec.promotion.bake if state.past_gates and state.bake_ends else state.started_at
    if began is not None:
        # What was before says nothing; a window still needs some length.
        start = min(max(start, began), end - state.spec.policy.look)
    state.to_diagnose = PendingDiagnosis(
        decision="roll_back" if decision == "roll_back" else "hold",
        reason=reason,
        at=workflow.now(),
        window=Window(start=start, end=end),
        metrics=suspects(state.verdicts),
        compare=not state.past_gates,
        share=state.canary_share() / 100,
    )


class Diagnosing:
    """Diagnoses one rollout, whenever a turn asks for it."""

    def __init__(self, state: RolloutState, journal: Journal) -> None:
        self._state = state
        self._journal = journal
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to wait for work."""
        self._task = asyncio.create_task(self._keep())

    def stop(self) -> None:
        """End; what was not finished stays in the state."""
        if self._task is not None:
            self._task.cancel()

    async def finish(self) -> None:
        """Wait, but not for long, until nothing is left to diagnose."""
        if self._state.to_diagnose is None:
            return
        try:
            await workflow.wait_condition(
                lambda: self._state.to_diagnose is None,
                timeout=2 * self._state.spec.diagnose.timeout + GRACE,
                timeout_summary="waiting for the diagnosis",
            )
        except TimeoutError:
            self._state.to_diagnose = None
            self._journal.note("diagnosis", "not finished in time")

    def _due(self) -> bool:
        pending = self._state.to_diagnose
        return pending is not None and (pending.decision == "hold" or self._state.restored is True)

    async def _keep(self) -> None:
        state = self._state
        while True:
            await when(self._due, Rank.DIAGNOSIS)
            pending = state.to_diagnose
            if pending is None:
                continue
            budget = diagnosing(state.spec.diagnose.timeout)
            try:
                found = await call(DIAGNOSE, self._request(pending), budget, f"diagnose: {pending.reason}")
            except ActivityError as error:
                self._journal.note("diagnosis", failure_reason(error), decision=pending.decision)
            else:
                self._keep_found(pending, found)
            if state.to_diagnose is pending:
                state.to_diagnose = None
            self._journal.show()

    def _keep_found(self, pending: PendingDiagnosis, found: Diagnosis) -> None:
        state = self._state
        state.diagnosis = found
        details = {"diagnosis": found.model_dump(mode="json", exclude_defaults=True)}
        self._journal.note("diagnosis", found.sentence, decision=pending.decision, details=details)
        if pending.decision == "hold":
            # A rollback says it with its end, which is a moment away.
            title = f"{console.headline(state)}: what points to the cause"
            self._journal.tell(title, console.diagnosis_text(found), "warning", key=f"diagnosis-{state.sequence}")

    def _request(self, pending: PendingDiagnosis) -> DiagnosisRequest:
        state, spec = self._state, self._state.spec
        chosen = [metric for name in pending.metrics for metric in spec.metrics if metric.name == name]
        used = {metric.source for metric in chosen}
        return DiagnosisRequest(
            context=state.context(),
            decision=pending.decision,
            reason=pending.reason,
            at=pending.at,
            window=pending.window,
            metrics=chosen,
            arms=spec.arms,
            sources={name: source for name, source in spec.sources.items() if name in used},
            ledger=spec.ledger,
            settings=spec.diagnose,
            service=spec.service,
            environment=spec.environment,
            region=spec.region,
            rollout_id=state.rollout_id,
            compare=pending.compare,
            share=pending.share,
        )
