"""A rollout of the past as a trace: the counts of its looks, from the entries of its ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from coalmine.backtest.trace import Trace, TraceReader
from coalmine.errors import InputError, LedgerCorrupt
from coalmine.records import ArmCounts, LedgerEntry, MetricCounts, Outcome, carried_on, moment_of
from coalmine.spec.metrics import Metric

_COUNTS = TypeAdapter(list[MetricCounts])
_ENDINGS = ("roll_back", "hold", "promote")


@dataclass(frozen=True)
class Past:
    """A rollout's looks, and what was decided then."""

    trace: Trace
    left_out: tuple[str, ...]
    """Metrics that were counted then and are not judged now."""
    decision: str = ""
    """``roll_back``, ``hold`` or ``promote``: the first of them; empty when it was none of these."""
    look: int | None = None
    """The look it followed, from 0."""
    at: datetime | None = None
    reason: str = ""


def past_rollout(rollout_id: str, entries: Sequence[LedgerEntry], metrics: Sequence[Metric]) -> Past:
    """The looks of one rollout while both versions ran.

    Args:
        rollout_id: of the rollout.
        entries: of the ledger; those of other rollouts are left out.
        metrics: what is judged now; one the rollout did not count is missing in every look.

    Raises:
        InputError: the ledger has no look of this rollout, or none that can be judged.
        LedgerCorrupt: a look whose counts cannot be read.
    """
    mine = carried_on(entry for entry in entries if entry.rollout_id == rollout_id)
    looks = [entry for entry in mine if _compares(entry)]
    if not looks:
        what = "has no look of it" if mine else "does not know it"
        raise InputError(f"{rollout_id}: the ledger {what}, so there is nothing to judge again")
    reader, left_out = TraceReader(rollout_id, metrics), set[str]()
    wanted = {metric.name: metric.kind for metric in metrics}
    moved: datetime | None = None
    for entry in mine:
        if entry.kind == "shifted":
            moved = entry.at
        elif _compares(entry):
            counts = _counts(entry)
            left_out |= {one.metric for one in counts} - wanted.keys()
            where = f"{rollout_id} #{entry.sequence}"
            steady = moved is None or _began(entry, where) >= moved
            seen = {one.metric: observation_of(one, wanted[one.metric]) for one in counts if one.metric in wanted}
            look = {"at": entry.at.isoformat(), "weight": entry.data.get("weight"), "observations": seen}
            reader.add(look, where, steady=steady)
    ended = next((entry for entry in mine if entry.kind in _ENDINGS), None)
    before = sum((entry.at, entry.sequence) < (ended.at, ended.sequence) for entry in looks) if ended is not None else 0
    return Past(
        trace=reader.finished(),
        left_out=tuple(sorted(left_out)),
        decision=ended.kind if ended is not None else "",
        look=before - 1 if before else None,
        at=ended.at if ended is not None else None,
        reason=ended.reason if ended is not None else "",
    )


def promoted_before(entries: Sequence[LedgerEntry], began: datetime, age: timedelta) -> list[LedgerEntry]:
    """The looks a rollout that began then could learn a service's noise from, in order of time.

    Args:
        entries: of the ledger, all rollouts of the service.
        began: when the rollout took its first look.
        age: how old a look may be.

    Returns:
        Looks of rollouts that had closed as promoted by then.
    """
    closed = {
        entry.rollout_id
        for entry in entries
        if entry.kind == "closed" and entry.at < began and entry.data.get("outcome") == Outcome.PROMOTED
    }
    chosen = (entry for entry in entries if entry.kind == "look" and entry.rollout_id in closed)
    return sorted((entry for entry in chosen if began - age <= entry.at < began), key=lambda entry: entry.at)


def _counts(entry: LedgerEntry) -> list[MetricCounts]:
    try:
        return _COUNTS.validate_python(entry.data.get("counts"))
    except ValidationError:
        raise LedgerCorrupt(f"{entry.rollout_id} #{entry.sequence}: a look without readable counts") from None


def _compares(entry: LedgerEntry) -> bool:
    return entry.kind == "look" and entry.data.get("stage", "compare") == "compare"


def _began(entry: LedgerEntry, where: str) -> datetime:
    """When the earliest traffic of a look's window was sent: samples lag by as much as the window ends early."""
    try:
        since, until = (moment_of(entry.data[key]) for key in ("from", "to"))
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerCorrupt(f"{where}: a look without a readable window ({error!r})") from None
    return since - (entry.at - until)


def observation_of(counts: MetricCounts, kind: str) -> dict[str, Any] | None:
    """What a source reported of a metric of this kind, as a line of a trace holds it; None for no data."""
    if counts.status == "no_data":
        return None
    told: dict[str, Any] = {} if counts.seconds is None else {"seconds": counts.seconds}
    if counts.value is not None:
        return told | {"value": counts.value}
    arms = {"canary": counts.canary, "baseline": counts.baseline}
    return told | {name: None if arm is None else _arm(arm, kind, counts.bounds) for name, arm in arms.items()}


def _arm(arm: ArmCounts, kind: str, bounds: Sequence[float] | None) -> dict[str, Any] | None:
    if kind == "count":
        return {"events": arm.events}
    if arm.buckets is not None:
        # One bucket says nothing of latency, and was no data then either.
        return {"le": [*bounds, "+Inf"], "counts": arm.buckets} if bounds else None
    if arm.values is not None:
        return {"values": arm.values}
    if arm.burn is not None:
        burn = [one.model_dump() | {"events": min(one.events, one.total)} for one in arm.burn]
        return {"events": min(arm.events or 0, arm.total), "total": arm.total, "burn": burn}
    # Two counters scraped an instant apart: events may run ahead of requests, and were clipped then too.
    return {"events": min(arm.events or 0, arm.total), "total": arm.total}
