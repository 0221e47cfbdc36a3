"""The activity that gathers what points to the cause of a rollback or a hold.

It runs beside everything else, within a budget: whatever does not answer in time is a note, and the rest is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, timedelta
from typing import TypeVar

from temporalio import activity

from activities.beating import beating, time_left
from activities.ledgers.base import LedgerStore
from activities.ledgers.registry import open_ledger
from activities.sources.base import break_down
from coalmine.errors import CoalmineError
from coalmine.records import (
    DIAGNOSE,
    BreakdownRequest,
    Change,
    Diagnosis,
    DiagnosisRequest,
    Exemplar,
    LedgerEntry,
    Link,
    MetricBreakdown,
    stamped,
)
from coalmine.spec.ledger import Ledger
from coalmine.spec.links import TRACE, fill_link
from coalmine.spec.metrics import Metric

BUDGET = timedelta(seconds=20)
"""When nobody set a limit."""
CHANGES_SHOWN = 10
CHANGES = frozenset({"admitted", "shifted", "roll_back", "promoted", "override", "closed"})
"""Kinds of entries that changed what is live, or were about to."""
T = TypeVar("T")


class DiagnosisActivities:
    """Diagnosing, over the metric stores of this worker and the ledgers that specs name."""

    def __init__(self, sources: Mapping[str, object], ledgers: Callable[[Ledger], LedgerStore] = open_ledger) -> None:
        """``sources`` holds one adapter by ``Source.kind``; those that cannot break metrics down say so."""
        self._sources = sources
        self._ledgers = ledgers

    @activity.defn(name=DIAGNOSE.name)
    async def diagnose(self, request: DiagnosisRequest) -> Diagnosis:
        """Break the suspicious metrics down, look for traces and for what else changed; want of data is a note."""
        limit = time_left(BUDGET)
        notes: list[str] = []
        none: list[Change] = []
        async with beating():
            looking = asyncio.create_task(_within(limit, self._changes(request), none, "changes", notes))
            answers = await asyncio.gather(
                *(
                    _within(limit, self._break_down(metric, request), None, metric.name, notes)
                    for metric in request.metrics
                )
            )
            breakdowns = {one.metric: one for one in answers if one is not None}
            return await asyncio.to_thread(_put_together, request, breakdowns, await looking, notes)

    async def _break_down(self, metric: Metric, request: DiagnosisRequest) -> MetricBreakdown | None:
        source = request.sources.get(metric.source)
        adapter = self._sources.get(source.kind) if source is not None else None
        if source is None or adapter is None:
            known = ", ".join(sorted(self._sources)) or "none"
            reason = f"this worker serves no source {metric.source!r} (kinds it serves: {known})"
            return MetricBreakdown(metric=metric.name, supported=False, reason=reason)
        asked = BreakdownRequest(
            window=request.window,
            arms=request.arms,
            labels=request.settings.labels,
            compare=request.compare,
            most_exemplars=request.settings.exemplars,
        )
        return await break_down(adapter, source, metric, asked)

    async def _changes(self, request: DiagnosisRequest) -> list[Change]:
        """What other rollouts of the environment did since a window's length before the window."""
        since = request.window.start - (request.window.end - request.window.start)
        entries = await self._ledgers(request.ledger).events(request.environment, since)
        others = [entry for entry in entries if entry.rollout_id != request.rollout_id and entry.at <= request.at]
        telling = [entry for entry in others if entry.kind in CHANGES]
        return [
            Change(at=entry.at, rollout_id=entry.rollout_id, what=_what(entry)) for entry in telling[-CHANGES_SHOWN:]
        ]


async def _within(limit: float, work: Awaitable[T], otherwise: T, name: str, notes: list[str]) -> T:
    """The work's answer, or ``otherwise`` with a note why there is none."""
    try:
        async with asyncio.timeout(limit):
            return await work
    except TimeoutError:
        notes.append(f"{name}: no answer within {limit:.3g} s")
    except CoalmineError as error:
        notes.append(f"{name}: {error}")
    except Exception as error:
        # An adapter from elsewhere may raise anything; the rest of the diagnosis is still worth having.
        activity.logger.exception("diagnosing failed")
        notes.append(f"{name}: {type(error).__name__}: {error}")
    return otherwise


def _put_together(
    request: DiagnosisRequest,
    breakdowns: Mapping[str, MetricBreakdown],
    changes: list[Change],
    notes: list[str],
) -> Diagnosis:
    # The statistics take a second to load, which a worker that just started should not wait for.
    from coalmine.diagnosis import rank

    sentences: list[str] = []
    rankings = []
    exemplars: list[Exemplar] = []
    for metric in request.metrics:
        broken = breakdowns.get(metric.name)
        if broken is None:
            continue
        if broken.reason:
            notes.append(f"{metric.name}: {broken.reason}")
        if broken.labels:
            found = rank(metric, broken, compare=request.compare, share=request.share)
            rankings += found.rankings
            sentences.append(found.sentence)
        exemplars += broken.exemplars
    if changes:
        others = len({change.rollout_id for change in changes})
        sentences.append(f"{others} other rollout{'s' * (others != 1)} changed something at that time")
    values = _values(request)
    templates = request.settings.links
    of_trace = next((template for template in templates.values() if "{" + TRACE + "}" in template), None)
    if of_trace is not None:
        exemplars = [
            one.model_copy(update={"link": fill_link(of_trace, {**values, TRACE: one.trace_id})}) for one in exemplars
        ]
    return Diagnosis(
        sentence="; ".join(sentences) or "nothing points to a cause",
        decision=request.decision,
        reason=request.reason,
        at=request.at,
        window=request.window,
        rankings=rankings,
        exemplars=exemplars[: request.settings.exemplars],
        links=[
            Link(name=name, url=fill_link(template, values))
            for name, template in templates.items()
            if "{" + TRACE + "}" not in template
        ],
        changes=changes,
        notes=notes,
    )


def _values(request: DiagnosisRequest) -> dict[str, str]:
    """What link templates are filled with; times in UTC."""
    start, end = request.window.start.astimezone(UTC), request.window.end.astimezone(UTC)
    return {
        "service": request.service,
        "environment": request.environment,
        "region": request.region or "",
        "version": request.arms.canary.version,
        "backend": request.arms.canary.backend,
        "baseline": request.arms.baseline.version,
        "rollout_id": request.rollout_id,
        "from": stamped(start, "seconds"),
        "to": stamped(end, "seconds"),
        "from_ms": str(round(start.timestamp() * 1000)),
        "to_ms": str(round(end.timestamp() * 1000)),
    }


def _what(entry: LedgerEntry) -> str:
    return f"{entry.kind.replace('_', ' ')}: {entry.reason}" if entry.reason else entry.kind.replace("_", " ")
