"""One look: collect a window that the workflow fixed, fold its counts into the evidence, write down what was found.

Windows tile per metric: each starts where that metric's last collected one ended, so after an outage one long window
catches up, and nothing is counted twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.decisions import Decision, decide
    from coalmine.effects import effect_record
    from coalmine.records import (
        COLLECT,
        EVALUATE,
        Action,
        Collected,
        CollectRequest,
        EvaluateRequest,
        Evaluation,
        Finding,
        MetricCounts,
        Window,
    )
    from coalmine.rollout import RolloutState
    from coalmine.spec.metrics import Metric

from workflows.calls import JUDGE, call, collecting
from workflows.drift import Drifts
from workflows.interruption import failure_reason, unless
from workflows.journal import Journal


class Looks:
    """Takes looks for one rollout."""

    def __init__(self, state: RolloutState, journal: Journal, ordered: Callable[[], bool], drifts: Drifts) -> None:
        self._state = state
        self._journal = journal
        self._ordered = ordered
        self._drifts = drifts

    def begin(self, now: datetime, *, from_now: bool) -> None:
        """Plan the next look one interval from now; ``from_now`` also starts windows here (a first step, a bake)."""
        state = self._state
        state.next_look = now + state.spec.policy.look
        if from_now:
            state.collected_until = {metric.name: now for metric in state.spec.metrics}

    async def take(self) -> Decision | None:
        """Take one look.

        Returns:
            What follows from it; None when no window was ready to be collected yet.

        Raises:
            Interrupted: a human's order came first; nothing of this look was kept.
            ActivityError: the judge itself failed.
        """
        state, now = self._state, workflow.now()
        state.next_look = now + state.spec.policy.look
        windows = self._windows(now - state.settle())
        if not windows:
            return None
        bake = state.stage_is_bake
        number = state.looks + 1
        label = f"look {number} at {state.canary_share():g} %"
        counts: list[MetricCounts] = []
        end = now - state.settle()
        self._drifts.expect()
        for window, metrics in windows.items():
            collected = await self._collect(label, number, Window(start=window[0], end=window[1]), metrics, bake)
            counts += collected.metrics
            end = collected.window.end
        # The history says when the look was: a task that was begun twice has two times, and this one may be the other.
        windows = {(start, end): metrics for (start, _), metrics in windows.items()}
        now = end + state.settle()
        state.next_look = now + state.spec.policy.look
        await self._drifts.answer()
        counts = [metric.model_copy(update={"queries": []}) for metric in counts]
        evaluation = await unless(self._ordered, self._evaluate(label, counts, windows, bake))
        self._keep(counts, windows, evaluation, bake, now)
        decision = decide(state, now)
        state.unmet = list(decision.unmet)
        self._write_down(number, counts, windows, evaluation, decision, bake)
        return decision

    def _windows(self, end: datetime) -> dict[tuple[datetime, datetime], list[Metric]]:
        windows: dict[tuple[datetime, datetime], list[Metric]] = defaultdict(list)
        for metric in self._state.spec.metrics:
            start = self._state.collected_until.get(metric.name, end)
            # A window shorter than a scrape may hold no sample at all, which would look like silence.
            if end - start >= self._state.spec.sources[metric.source].every:
                windows[start, end].append(metric)
        return dict(windows)

    async def _collect(self, label: str, number: int, window: Window, metrics: list[Metric], bake: bool) -> Collected:
        spec = self._state.spec
        request = CollectRequest(
            context=self._state.context(),
            window=window,
            metrics=metrics,
            arms=spec.arms,
            sources={name: source for name, source in spec.sources.items() if name in {m.source for m in metrics}},
            compare=not bake,
            rollout_id=self._state.rollout_id,
            look=number,
            watch=self._drifts.watch(),
        )
        seconds = (window.end - window.start).total_seconds()
        work = call(COLLECT, request, collecting(spec.policy.look), f"{label}: collect {seconds:.0f} s")
        try:
            collected = await unless(self._ordered, work)
            self._drifts.hear(collected.drift)
            return collected
        except ActivityError as error:
            reason = f"collecting failed: {failure_reason(error)}"
            silent = [MetricCounts(metric=metric.name, status="no_data", reason=reason) for metric in metrics]
            return Collected(metrics=silent, window=window)

    async def _evaluate(
        self, label: str, counts: list[MetricCounts], windows: dict[tuple[datetime, datetime], list[Metric]], bake: bool
    ) -> Evaluation:
        state = self._state
        began = _began(windows, counts)
        # Up to a scrape and a flush before a window's start still counts into it.
        settled = state.share_from + state.settle() if state.share_from is not None else None
        steady = settled is not None and began is not None and settled <= began and not self._drifts.is_of_before
        request = EvaluateRequest(
            context=state.context(),
            judge=state.judge(),
            counts=counts,
            stage="bake" if bake else "compare",
            share=state.canary_share() / 100 if steady and not bake else None,
            new_step=state.fresh_step,
            extension=state.looks >= state.planned_looks,
            evidence=state.bake_evidence if bake else state.evidence,
        )
        return await call(EVALUATE, request, JUDGE, f"{label}: evaluate")

    def _keep(
        self,
        counts: list[MetricCounts],
        windows: dict[tuple[datetime, datetime], list[Metric]],
        evaluation: Evaluation,
        bake: bool,
        now: datetime,
    ) -> None:
        state = self._state
        ends = {metric.name: end for (_, end), metrics in windows.items() for metric in metrics}
        for metric in counts:
            if metric.status == "ok":
                state.collected_until[metric.metric] = ends[metric.metric]
        state.looks += 1
        state.fresh_step = False
        state.verdicts = evaluation.verdicts
        state.finding, state.finding_reason = evaluation.finding, evaluation.reason
        state.canary_requests += evaluation.canary_requests
        began = _began(windows, counts)
        settled = state.step_started + state.settle() if state.step_started is not None else None
        if settled is not None and began is not None and began >= settled:
            # A window that straddles the shift also counted the step before: it is left out, never guessed at.
            state.step_requests += evaluation.canary_requests
        if bake:
            state.bake_evidence = evaluation.evidence
        else:
            state.evidence = evaluation.evidence
        self._watch_data(evaluation, now)

    def _watch_data(self, evaluation: Evaluation, now: datetime) -> None:
        """Keep the clock of a data outage, and tell people when one begins and ends."""
        state = self._state
        silent = evaluation.finding is Finding.NO_DATA or any(
            verdict.verdict == "no_data" and verdict.role == "guardrail" for verdict in evaluation.verdicts
        )
        if not silent:
            if state.told_no_data:
                self._journal.tell("Data is back", evaluation.reason, key=f"data-back-{state.looks}")
                self._journal.note("data_back", evaluation.reason)
            state.no_data_since, state.told_no_data = None, False
            return
        state.no_data_since = state.no_data_since or now
        if not state.told_no_data:
            state.told_no_data = True
            why = _silence(evaluation)
            self._journal.tell("No data", f"{state.rollout_id}: {why}", "warning", key=f"no-data-{state.looks}")
            self._journal.note("no_data", why)

    def _write_down(
        self,
        number: int,
        counts: list[MetricCounts],
        windows: dict[tuple[datetime, datetime], list[Metric]],
        evaluation: Evaluation,
        decision: Decision,
        bake: bool,
    ) -> None:
        state = self._state
        start, end = min(start for start, _ in windows), max(end for _, end in windows)
        numbers: dict[str, Any] = {
            "look": number,
            "stage": "bake" if bake else "compare",
            "step": state.step,
            "weight": state.canary_share(),
            "from": start.isoformat(),
            "to": end.isoformat(),
            "seconds": (end - start) / timedelta(seconds=1),
            "canary_requests": evaluation.canary_requests,
            "finding": str(evaluation.finding),
            "action": str(decision.action),
            "log_e_harm": round(evaluation.log_e_harm, 3),
        }
        if decision.action is not Action.CONTINUE:
            numbers["verdicts"] = [verdict.model_dump(mode="json", exclude_defaults=True) for verdict in state.verdicts]
        plain = [metric.model_dump(mode="json", exclude_defaults=True) for metric in counts]
        details = {"counts": plain, "effects": [effect_record(verdict) for verdict in state.verdicts]}
        self._journal.note_look(decision.reason, numbers, details, urgent=decision.action is not Action.CONTINUE)


def _began(windows: dict[tuple[datetime, datetime], list[Metric]], counts: list[MetricCounts]) -> datetime | None:
    """Where the earliest window begins that has something to say: a silent metric's long one says nothing yet."""
    counted = {metric.metric for metric in counts if metric.status == "ok"}
    return min(
        (start for (start, _), metrics in windows.items() if any(m.name in counted for m in metrics)), default=None
    )


def _silence(evaluation: Evaluation) -> str:
    silent = [verdict for verdict in evaluation.verdicts if verdict.verdict == "no_data"]
    return "; ".join(verdict.sentence or f"{verdict.metric}: no data" for verdict in silent) or evaluation.reason
